//! Pinned frames of guarded actions: what waits and what was done, a plan that is confirmed, and one that ran.

use super::audit_board::{AuditBoard, AuditLine, HoldLine};
use super::dialog::{Ask, Dialog, Focus, News, Stage};
use super::frame_of;
use super::golden::{NOW, SIZES, golden, host, model};
use super::model::{Model, View};
use super::theme::colour::Tier;
use super::theme::file::Themes;
use crate::domain::action::book::{Book, IntentEntry, RequestEntry};
use crate::domain::action::{ActionId, HoldName};
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{Actor, AuditId, Outcome};
use crate::domain::time::at;
use crate::engine::action::execute::Progress;

fn id(number: u64) -> AuditId {
    AuditId::parse(&format!("3f9a1c2b44d0-{number}")).unwrap_or_else(|| panic!("{number}"))
}

fn actor(user: &str) -> Actor {
    Actor { uid: 1_000, user: user.into(), person: None, machine: "ops1".into(), from: "pts/3".into() }
}

fn action(name: &str) -> ActionId {
    ActionId::parse(name).unwrap_or_else(|error| panic!("{error}"))
}

fn ago(seconds: i64) -> i64 {
    at(NOW - seconds).utc_ms
}

fn audit() -> AuditBoard {
    let mut audit = AuditBoard {
        waiting: 3,
        central_error: Some("log:6514: no answer within 10 s".to_owned()),
        ..AuditBoard::default()
    };
    let mut book = Book::default();
    let request = RequestEntry {
        proposer: actor("anna"),
        plan: Digest::ZERO,
        action: action("logs.archive-purge"),
        hosts: vec![host("db1")],
        reason: "/var fills by noon".into(),
        approvals_needed: 2,
        created_ms: ago(1_500),
        expires_ms: ago(-12_000),
        verdicts: Vec::new(),
        claimed_ms: None,
        glass: None,
    };
    book.requests.insert(id(4), request);
    let intent = |number, name: &str, outcome| IntentEntry {
        request: id(number),
        action: action(name),
        host: host("web1"),
        by: actor("bert"),
        at_ms: ago(90),
        is_sent: true,
        outcome,
    };
    let lost = Some((Outcome::Unknown, "link lost: web1: no answer within the deadline".into()));
    book.intents.insert(id(9), intent(8, "unit.restart", lost));
    book.intents.insert(id(12), intent(11, "logs.rotate", None));
    audit.take(&book);
    let line = |number, kind, words: &str| AuditLine {
        id: id(number),
        at_ms: ago(100 - number as i64),
        kind,
        who: "bert".into(),
        words: words.to_owned(),
    };
    let day = |text: &str| text.parse().unwrap_or_else(|error| panic!("{error}"));
    audit.holds = vec![HoldLine {
        name: HoldName::parse("evidence").unwrap_or_else(|error| panic!("{error}")),
        by: "Security".to_owned(),
        since: day("2026-03-03"),
        review: day("2026-04-03"),
        words: "evidence: nothing under /var/log may go, by order of Security since 2026-03-03".to_owned(),
    }];
    audit.newest = vec![
        line(13, "sent", "3f9a1c2b44d0-12 to web1"),
        line(12, "intent", "logs.rotate on web1: logrotate --force /etc/logrotate.d/nginx"),
        line(10, "outcome", "3f9a1c2b44d0-9 on web1: outcome unknown after 61000 ms: link lost"),
    ];
    audit
}

fn planned(approvals_needed: u32) -> Dialog {
    let mut dialog = Dialog::new("logs.rotate db1 config=/etc/logrotate.d/app".to_owned(), 1);
    let lines = [
        "logs.rotate (disruptive)",
        "on db1, key SHA256:GZrLx0b5PZ2v7tD0mQ",
        "  runs: logrotate --force /etc/logrotate.d/app",
        "  ▲ the disk is full at /var: a restart will not help, and may not come up again",
        "  preview (exit 0):",
        "    rotating pattern: /var/log/app/*.log  forced from command line (3 rotations)",
        "plan d1cf3325eccd35f2245bae49f6c58d11b93889ed369300325fb9c46d42aea3dd",
    ];
    let lines = lines.map(str::to_owned).to_vec();
    let ask = match approvals_needed {
        0 => Ask::Run { phrase: "db1".to_owned() },
        approvals_needed => Ask::Propose { approvals_needed },
    };
    dialog.take(News::Planned { lines, ask });
    dialog
}

fn check(name: &str, mut make: impl FnMut() -> Model) {
    for theme in ["default", "dark"] {
        let loaded = Themes::default().load(theme).unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
        for (columns, rows) in SIZES {
            let buffer = frame_of(&mut make(), &loaded, columns, rows);
            insta::assert_snapshot!(format!("{name}-{columns}x{rows}-{theme}"), golden(&buffer));
        }
    }
}

#[test]
fn what_waits_runs_and_was_done_looks_as_it_did() {
    check("actions", || {
        let mut model = model(View::Actions);
        model.audit = Some(audit());
        model
    });
}

#[test]
fn a_plan_looks_as_it_did_before_and_after_it_is_confirmed() {
    check("plan", || {
        let mut model = model(View::Fleet);
        model.dialog = Some(planned(0));
        model
    });
    check("judge", || {
        let mut model = model(View::Fleet);
        let mut dialog = planned(1);
        dialog.stage = Stage::Planned(Ask::Judge { id: id(4), agreed: 1, approvals_needed: 2 });
        (dialog.typed, dialog.focus) = ("deny not before the audit".to_owned(), Focus::Go);
        model.dialog = Some(dialog);
        model
    });
    check("plan-confirmed", || {
        let mut model = model(View::Fleet);
        let mut dialog = planned(0);
        (dialog.typed, dialog.focus) = ("db1".to_owned(), Focus::Go);
        model.dialog = Some(dialog);
        model
    });
    check("plan-over", || {
        let mut model = model(View::Fleet);
        let mut dialog = planned(2);
        dialog.take(News::Progress(Progress::Begins { host: host("db1"), intent: id(12) }));
        let text = "error: skipping \"/var/log/app/a.log\" because parent directory has insecure permissions␊".into();
        dialog.take(News::Progress(Progress::Output { host: host("db1"), text }));
        let measured = "exit 1; its effect is not there: no status file of logrotate was written since".into();
        dialog.take(News::Progress(Progress::Ends { host: host("db1"), outcome: Outcome::Failed, measured }));
        dialog.take(News::Ended { words: "db1: failed".to_owned(), is_well: false });
        model.dialog = Some(dialog);
        model
    });
}
