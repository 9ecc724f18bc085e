//! Golden frames: every view at every size, glyphs and colours, on pinned data and time.

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier, Style};

use super::frame_of;
use super::log_book::{HostClock, LogBook};
use super::model::{FeedSource, Model, View};
use super::picture::{Format, picture};
use super::theme::colour::Tier;
use super::theme::file::Themes;
use super::theme::glyphs::Glyphs;
use super::update::press;
use crate::domain::board::Board;
use crate::domain::check::state::CheckState;
use crate::domain::check::{CheckId, CheckKind, CheckResult, Pane, Unit};
use crate::domain::fleet::{GroupName, HostName, ProtectionColour};
use crate::domain::probe::disk::DiskReading;
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::at;
use crate::domain::transition::{Batch, Change, HostEntry, Input, Link, LinkState, Observation, Seen, Transition};
use crate::engine::tail::{LineNews, LogNews, Missed};

pub(super) const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 35), (200, 50)];
const FRESH_FOR_MS: u64 = 28_000;
/// The moment of every frame, seconds after [`at`]'s zero.
pub(super) const NOW: i64 = 3_600;

pub(super) fn host(name: &str) -> HostName {
    HostName::parse(name).unwrap_or_else(|error| panic!("{error}"))
}

fn result(kind: CheckKind, subject: &str, status: Status, reason: &str, value: f64, unit: Unit) -> CheckResult {
    let id = if subject.is_empty() { CheckId::of(kind) } else { CheckId::on(kind, subject.into()) };
    CheckResult::new(id, status, reason, unit).value(value)
}

/// What one poll of a host gave, `second` seconds after zero; a check that was read often is confirmed.
fn poll(board: &mut Board, name: &str, second: i64, results: Vec<CheckResult>) {
    for result in &results {
        let state = CheckState::first(result.status, 1, at(second));
        let change = Change::CheckChanged {
            host: host(name),
            probe: ProbeId::Disk,
            result: result.clone().into(),
            state,
            fresh_for_ms: FRESH_FOR_MS,
        };
        board.apply(&Input::Transition(Transition::new(at(second), change)));
    }
    let reading = Reading::Disk(DiskReading::default().into()).into();
    let seen = Seen::Reading { reading, results: results.into_iter().map(Into::into).collect() };
    let observation = Observation { probe: ProbeId::Disk, fresh_for_ms: FRESH_FOR_MS, seen };
    let batch = Batch { host: host(name), at: at(second), observations: vec![observation.into()], cost: None };
    board.apply(&Input::Batch(batch));
}

/// A fleet in which every status, a silent host and one that never answered stand side by side.
fn fleet() -> Board {
    let mut board = Board::default();
    let prod = GroupName::parse("prod").unwrap_or_else(|error| panic!("{error}"));
    let names = ["backup1", "db1", "mail1", "new1", "web1", "web2"];
    let entry = |name: &&str| HostEntry {
        name: host(name),
        groups: vec![prod.clone()],
        own: *name == "backup1",
        trend_window_ms: 6 * 3_600_000,
        colour: Some(ProtectionColour::Red),
        parent: None,
    };
    let change = Change::FleetChanged {
        hosts: names.iter().map(entry).collect(),
        groups: vec![prod.clone()],
        digest: String::new(),
    };
    board.apply(&Input::Transition(Transition::new(at(0), change)));
    let link = |name: &str, second: i64, link: Link| {
        Input::Transition(Transition::new(at(second), Change::LinkChanged { host: host(name), lane: Lane::Fast, link }))
    };
    for name in &names[..3] {
        board.apply(&link(name, 1, Link::up()));
    }
    for name in &names[4..] {
        board.apply(&link(name, 1, Link::up()));
    }
    board.apply(&link("mail1", 3_000, Link::down(LinkState::TimedOut, "no answer within the deadline")));
    board.apply(&link("new1", 1, Link::down(LinkState::Untrusted, "its key is in no known_hosts file")));
    for second in (0..=NOW - 3).step_by(300).chain([NOW - 3]) {
        let used = 60.0 + second as f64 / 100.0;
        let mut var = result(
            CheckKind::DiskSpace,
            "/var",
            Status::Critical,
            &format!("full in 40 min: {used:.0} % of /var; 1.2 GB left"),
            used,
            Unit::Percent,
        );
        var.full_at = chrono::DateTime::from_timestamp_millis(at(NOW + 2_400).utc_ms);
        poll(
            &mut board,
            "db1",
            second,
            vec![
                var,
                result(
                    CheckKind::DiskInodes,
                    "/var",
                    Status::Ok,
                    "12 % of the inodes of /var; 5123 left; not filling",
                    12.0,
                    Unit::Percent,
                ),
                result(
                    CheckKind::CronJob,
                    "nightly-transfer",
                    Status::Critical,
                    "missed: due 02:10, not started since",
                    3.0,
                    Unit::Seconds,
                ),
                result(CheckKind::HostLoad, "", Status::Ok, "load 0.40 a core over 15 min", 0.4, Unit::PerCpu),
            ],
        );
        poll(
            &mut board,
            "web1",
            second,
            vec![
                result(
                    CheckKind::LogRate,
                    "5xx:/var/log/nginx/access.log",
                    Status::Warning,
                    "≥ 120 of 5xx in 5 min in /var/log/nginx/access.log",
                    120.0,
                    Unit::PerWindow,
                ),
                result(
                    CheckKind::DiskSpace,
                    "/",
                    Status::Ok,
                    "41 % of /; 23 GB left; not filling",
                    41.0,
                    Unit::Percent,
                ),
            ],
        );
    }
    poll(
        &mut board,
        "backup1",
        NOW - 5,
        vec![
            result(
                CheckKind::BackupAge,
                "nightly-db",
                Status::Ok,
                "nightly-db: newest archive 5 h 00 min old (db-2026-09-21.gz, 4.1 GB)",
                18_000.0,
                Unit::Seconds,
            ),
            result(CheckKind::DiskReadonly, "/backup", Status::Ok, "/backup is writable", 0.0, Unit::Percent),
        ],
    );
    poll(
        &mut board,
        "mail1",
        2_990,
        vec![result(
            CheckKind::DiskSpace,
            "/",
            Status::Warning,
            "full in 3 d: 88 % of /; 4.8 GB left",
            88.0,
            Unit::Percent,
        )],
    );
    poll(
        &mut board,
        "web2",
        NOW - 1,
        vec![result(CheckKind::DiskSpace, "/", Status::Ok, "39 % of /; 24 GB left; not filling", 39.0, Unit::Percent)],
    );
    board
}

/// What the log view of two hosts holds: lines, an error, a line without a stamp, and what was not read.
fn log_book() -> LogBook {
    let log = |watch: &str, lines: &[&str], gap_bytes: u64| LogNews {
        watch: watch.into(),
        lines: lines.iter().map(|line| SafeText::new(line)).collect(),
        missed: Missed { bytes: gap_bytes, ..Missed::default() },
        trouble: None,
    };
    let db = [
        "2026-09-21 15:13:01.250 UTC [811] LOG:  checkpoint starting: time",
        "2026-09-21 15:13:07.114 UTC [902] ERROR:  could not extend file \"base/16384/2619\": No space left on device",
        "HINT:  Check free disk space.",
    ];
    let web = ["198.51.100.7 - - [21/Sep/2026:15:13:05 +0000] \"GET / HTTP/1.1\" 200 5120 \"-\" \"Mozilla/5.0\""];
    let mut book = LogBook::new("2 hosts".to_owned());
    let clock = HostClock::of(None);
    let news = |name: &str, log| LineNews { host: host(name), logs: vec![log] };
    book.take(news("db1", log("/var/log/postgresql/postgresql.log", &db, 0)), clock, at(NOW));
    book.take(news("web1", log("/var/log/nginx/access.log", &web, 12_000)), clock, at(NOW));
    book.refresh();
    book
}

pub(super) fn model(view: View) -> Model {
    let mut model = Model::new(FeedSource::OwnEngine, at(NOW));
    model.replace(fleet());
    model.log = (view == View::Log).then(log_book);
    model.view = view;
    model.sort();
    model
}

/// The text, then a letter a cell for how it looks, then what each letter means.
pub(super) fn golden(buffer: &Buffer) -> String {
    let mut looks: Vec<Style> = Vec::new();
    let mut grid = String::new();
    for (index, cell) in buffer.content.iter().enumerate() {
        let style = Style { sub_modifier: Modifier::empty(), underline_color: None, ..cell.style() };
        let known = looks.iter().position(|look| *look == style);
        let letter = known.unwrap_or_else(|| {
            looks.push(style);
            looks.len() - 1
        });
        let plain =
            (style.fg, style.bg, style.add_modifier) == (Some(Color::Reset), Some(Color::Reset), Modifier::empty());
        grid.push(if plain { '.' } else { char::from(b'a' + letter as u8) });
        if (index + 1) % usize::from(buffer.area.width) == 0 {
            grid.push('\n');
        }
    }
    let colour = |colour: Option<Color>| colour.map_or(String::new(), |colour| colour.to_string());
    let legend: String = (b'a'..)
        .zip(&looks)
        .map(|(letter, look)| {
            format!("{}: {} on {} {:?}\n", char::from(letter), colour(look.fg), colour(look.bg), look.add_modifier)
        })
        .collect();
    format!("{}---\n{grid}---\n{legend}", picture(buffer, Format::Text))
}

/// The wall, and the wall when nothing comes any more.
#[test]
fn the_wall_looks_as_it_did_and_says_stale_hugely() {
    let theme = Themes::default().load("wall").unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
    for (columns, rows) in SIZES {
        let mut wall = model(View::Fleet);
        wall.wall = true;
        insta::assert_snapshot!(format!("wall-{columns}x{rows}"), golden(&frame_of(&mut wall, &theme, columns, rows)));
        wall.source = FeedSource::Attached { pid: 7, alive_at: Some(at(NOW - 6)) };
        let stale = golden(&frame_of(&mut wall, &theme, columns, rows));
        assert!(stale.contains("STALE: the engine told nothing for 6s"), "{stale}");
        insta::assert_snapshot!(format!("wall-stale-{columns}x{rows}"), stale);
    }
}

fn views() -> [(&'static str, View); 7] {
    [
        ("fleet", View::Fleet),
        ("host", View::Host(host("db1"))),
        ("disk", View::Pane(Pane::Disk)),
        ("logs", View::Pane(Pane::Logs)),
        ("backup", View::Pane(Pane::Backup)),
        ("cron", View::Pane(Pane::Cron)),
        ("log", View::Log),
    ]
}

#[test]
fn every_view_looks_as_it_did_at_every_size_in_two_themes() {
    for theme in ["default", "dark"] {
        let loaded = Themes::default().load(theme).unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
        for (name, view) in views() {
            for (columns, rows) in SIZES {
                let buffer = frame_of(&mut model(view.clone()), &loaded, columns, rows);
                insta::assert_snapshot!(format!("{name}-{columns}x{rows}-{theme}"), golden(&buffer));
            }
        }
    }
}

/// A terminal without UTF-8 is sent nothing else, and the statuses are still words.
#[test]
fn every_view_can_be_shown_in_ascii() {
    let theme = Themes::default().load("mono").unwrap_or_else(|error| panic!("{error}")).in_glyphs(Glyphs::Ascii);
    for (name, view) in views() {
        let shown = picture(&frame_of(&mut model(view), &theme, 120, 35), Format::Text);
        assert!(shown.is_ascii(), "{name}: {shown}");
        assert!(shown.contains("X 1 CRITICAL ? 2 UNKNOWN ! 1 WARNING + 2 OK"), "{name}: {shown}");
    }
}

/// What hosts may print to move a screen's columns, or to look like the dashboard itself.
fn mimics() -> Vec<SafeText> {
    let bytes: [&[u8]; 6] = [
        "日本語のマウント".as_bytes(),
        "👩\u{200d}👩\u{200d}👧 🇩🇪 ✖\u{fe0f}".as_bytes(),
        "e\u{301}e\u{301} \u{202e}gnp.exe".as_bytes(),
        b"\xff\xfe broken \xc3",
        b"/mnt\r\n\xe2\x97\x8f OK        db9            all is well\x1b[2;1H\xe2\x97\x8f OK        db9",
        b"\ttab\x08\x08\x00nul",
    ];
    bytes.iter().map(|bytes| SafeText::from_bytes(bytes)).collect()
}

/// In a real terminal's eyes every column stands where it did, and no row begins with what a host said.
#[test]
fn nothing_that_a_host_says_moves_a_column_or_makes_a_row() {
    let theme = Themes::default().load("dark").unwrap_or_else(|error| panic!("{error}")).in_tier(Tier::True);
    let mut board = Board::default();
    let entry = HostEntry {
        name: host("web1"),
        groups: vec![],
        own: false,
        trend_window_ms: 3_600_000,
        colour: None,
        parent: None,
    };
    let change = Change::FleetChanged { hosts: vec![entry], groups: vec![], digest: String::new() };
    board.apply(&Input::Transition(Transition::new(at(0), change)));
    let said = |text: SafeText| {
        let id = CheckId::on(CheckKind::DiskSpace, text.clone());
        CheckResult::new(id, Status::Warning, format!("88 % of {text}; 4.8 GB left"), Unit::Percent).value(88.0)
    };
    poll(&mut board, "web1", NOW - 3, mimics().into_iter().map(said).collect());
    let mut model = Model::new(FeedSource::OwnEngine, at(NOW));
    model.replace(board);
    model.view = View::Pane(Pane::Disk);
    model.sort();
    let (columns, rows) = (120, 35);
    let drawn = picture(&frame_of(&mut model, &theme, columns, rows), Format::Ansi).replace('\n', "\r\n");
    let size = |cells: u16| std::num::NonZero::new(cells).unwrap_or(std::num::NonZero::<u16>::MIN);
    let mut terminal = vt100::Parser::new(size(rows + 1), size(columns), 0);
    terminal.process(drawn.as_bytes());
    let cell = |row: u16, column: u16| terminal.screen().cell(row, column).map(|cell| cell.contents().to_owned());
    let shown = terminal.screen().contents();
    let age = shown.lines().nth(2).and_then(|titles| titles.find("SEEN")).unwrap_or_else(|| panic!("{shown}")) as u16;
    for row in 3..3 + mimics().len() as u16 {
        let seconds = (cell(row, age + 2), cell(row, age + 3));
        assert_eq!(seconds, (Some("3".to_owned()), Some("s".to_owned())), "row {row}:\n{shown}");
        assert_eq!(cell(row, 0).as_deref(), Some("▲"), "row {row}:\n{shown}");
    }
    assert!(!shown.lines().any(|line| line.starts_with("● OK")), "{shown}");
    let announced = super::plain::lines_of(&model);
    assert!(announced.iter().all(|line| !line.contains(['\n', '\r', '\x1b'])), "{announced:?}");
}

#[test]
fn no_size_makes_any_view_panic() {
    let theme = Themes::default().load("default").unwrap_or_else(|error| panic!("{error}"));
    for (_, view) in views() {
        let mut model = model(view);
        for rows in 1..=20 {
            for columns in 1..=60 {
                model.help = (rows + columns) % 2 == 0;
                model.wall = (rows + columns) % 3 == 0;
                let buffer = frame_of(&mut model, &theme, columns, rows);
                assert_eq!((buffer.area.width, buffer.area.height), (columns, rows));
            }
        }
    }
}

proptest! {
    /// Past the terminal's own decoding.
    #[test]
    fn no_keys_make_the_screen_panic(keys in proptest::collection::vec((0_usize..14, any::<char>(), any::<bool>()), 0..60)) {
        let theme = Themes::default().load("default").unwrap_or_else(|error| panic!("{error}"));
        let mut model = model(View::Fleet);
        model.can_tail = true;
        for (special, c, control) in keys {
            let code = match special {
                0 => KeyCode::Enter,
                1 => KeyCode::Esc,
                2 => KeyCode::Backspace,
                3 => KeyCode::Down,
                4 => KeyCode::Up,
                5 => KeyCode::PageDown,
                6 => KeyCode::Tab,
                7 => KeyCode::Char(':'),
                8 => KeyCode::Char('/'),
                9 => KeyCode::Char(
                    ['1', '2', '3', '4', '5', '?', 'r', 't', 'l', 'n', 'N', 'x', ' ', 'm', 'y', 's'][c as usize % 16],
                ),
                10 => KeyCode::Char(['a', 'd', 'w', '@', ' '][c as usize % 5]),
                _ => KeyCode::Char(c),
            };
            let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            let rows = super::screen::row_count(&model);
            let _ = press(&mut model, KeyEvent::new(code, modifiers), rows);
            frame_of(&mut model, &theme, 80, 24);
        }
    }
}
