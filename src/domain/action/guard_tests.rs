//! Who gets through the guard, and who does not.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::NaiveDate;
use ssh_key::PrivateKey;

use super::guard::{Approved, Circumstances, Confirmed, NotApproved};
use super::plan::{Covered, HostPlan, Plan};
use super::policy::{ActionPattern, Hold, Person, Policy, Role, Rule, Scope, Severity};
use super::verdict::{Lift, Request, Statement, Word};
use super::{ActionId, HoldName, PersonName, RoleName};
use crate::domain::action::catalogue::ActionLimits;
use crate::domain::audit::canonical;
use crate::domain::audit::digest::Digest;
use crate::domain::audit::record::{Actor, AuditId, Verdict, WriterId};
use crate::domain::fleet::{GroupName, HostName};
use crate::domain::signature::{self, Purpose};

/// Everybody's key.
static KEYS: LazyLock<BTreeMap<&str, PrivateKey>> = LazyLock::new(|| {
    let people = ["anna", "bert", "carl", "dora"].into_iter().zip(1_u8..);
    let key = |seed| PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]));
    people.map(|(name, seed)| (name, key(seed))).collect()
});

const NOW_MS: i64 = 1_790_000_000_000;
const EXPIRES_MS: i64 = NOW_MS + 60_000;

fn person_name(name: &str) -> PersonName {
    PersonName::parse(name).unwrap_or_else(|error| panic!("{error}"))
}

fn role_name(name: &str) -> RoleName {
    RoleName::parse(name).unwrap_or_else(|error| panic!("{error}"))
}

fn pattern(text: &str) -> ActionPattern {
    ActionPattern::parse(text).unwrap_or_else(|| panic!("{text}"))
}

/// Anna acts; bert and carl may agree, bert acts too; dora is security.
fn policy() -> Policy {
    let person = |name: &str, users: &[&str], roles: &[&str]| Person {
        name: person_name(name),
        users: users.iter().map(|user| (*user).to_owned()).collect(),
        keys: vec![KEYS[name].public_key().to_openssh().unwrap()],
        roles: roles.iter().map(|role| role_name(role)).collect(),
    };
    let role = |name: &str, may: &[&str], approves: &[&str]| Role {
        name: role_name(name),
        may: may.iter().map(|text| pattern(text)).collect(),
        approves: approves.iter().map(|text| pattern(text)).collect(),
        scope: Scope::All,
        breaks_glass: false,
    };
    Policy {
        people: vec![
            person("anna", &["anna", "anna-admin"], &["operator"]),
            person("bert", &["bert"], &["operator", "approver"]),
            person("carl", &["carl"], &["approver"]),
            person("dora", &["dora"], &["security"]),
        ],
        roles: vec![role("operator", &["logs.*"], &[]), role("approver", &[], &["logs.*"]), role("security", &[], &[])],
        rules: Vec::new(),
        holds: Vec::new(),
        expiry: Duration::from_secs(60),
        digest: Digest::ZERO,
        changeable: None,
        exists: true,
        trusts_groups: true,
    }
}

fn host() -> HostName {
    HostName::parse("web1").unwrap_or_else(|error| panic!("{error}"))
}

fn covered() -> Covered {
    let plan = HostPlan {
        host: host(),
        host_key: "SHA256:x".to_owned(),
        argv: ["truncate", "/var/log/app.log"].map(str::to_owned).to_vec(),
        measure: Vec::new(),
        directory: None,
        delete: Vec::new(),
        truncate: Vec::new(),
        archive: None,
        elsewhere: None,
    };
    Covered {
        v: 1,
        action: ActionId::parse("logs.truncate").unwrap(),
        action_version: 1,
        definition: Digest::ZERO,
        severity: Severity::Destructive,
        is_own: false,
        parameters: BTreeMap::from([("file".to_owned(), "/var/log/app.log".to_owned())]),
        hosts: vec![plan],
        limits: ActionLimits::default(),
        policy: Digest::ZERO,
    }
}

fn id(number: u64) -> AuditId {
    AuditId { writer: WriterId::parse("3f9a1c2b44d0").unwrap(), number }
}

fn request() -> Request {
    let proposer = Actor {
        uid: 1_000,
        user: "anna".into(),
        person: Some(person_name("anna")),
        machine: "ops".into(),
        from: "tty1".into(),
    };
    Request {
        id: id(7),
        plan: covered().encode().unwrap(),
        proposer,
        reason: "disk full".into(),
        approvals_needed: 1,
        created_ms: NOW_MS,
        expires_ms: EXPIRES_MS,
    }
}

fn statement(by: &str) -> Statement {
    Statement {
        word: Word::Approve,
        request: id(7),
        plan: request().hash(),
        by: person_name(by),
        reason: "".into(),
        at_ms: NOW_MS,
        expires_ms: EXPIRES_MS,
    }
}

fn signed(statement: &Statement, by: &str) -> Verdict {
    let text = statement.encode().unwrap();
    let signature = signature::sign(&KEYS[by], Purpose::Verdict, text.as_bytes()).unwrap();
    let (request, plan) = (statement.request.clone(), statement.plan);
    Verdict { request, plan, by: statement.by.clone(), statement: text, signature }
}

fn yes(by: &str) -> Verdict {
    signed(&statement(by), by)
}

/// Everything that a decision rests on, for a test to change one thing of.
struct Case {
    policy: Policy,
    user: &'static str,
    verdicts: Vec<Verdict>,
    now_ms: i64,
    frozen: Option<&'static str>,
    lifts: Vec<(String, String)>,
    covered: Covered,
    glass: Option<&'static str>,
    request: Request,
}

fn case(verdicts: Vec<Verdict>) -> Case {
    let (policy, covered) = (policy(), covered());
    Case {
        policy,
        user: "anna",
        verdicts,
        now_ms: NOW_MS + 1,
        frozen: None,
        lifts: Vec::new(),
        covered,
        glass: None,
        request: request(),
    }
}

impl Case {
    fn decide(&self) -> Result<Approved, NotApproved> {
        let plan = Plan::new(self.covered.clone(), BTreeMap::new()).unwrap();
        let confirmed = Confirmed::confirm(plan, "web1").unwrap();
        let groups = BTreeMap::from([(host(), vec![GroupName::parse("web").unwrap()])]);
        let now = Circumstances {
            policy: &self.policy,
            user: self.user,
            groups: &groups,
            now_ms: self.now_ms,
            frozen: self.frozen,
            lifts: &self.lifts,
        };
        match self.glass {
            None => Approved::approve(confirmed, self.request.clone(), &self.verdicts, &now),
            Some(reason) => Approved::break_glass(confirmed, self.request.clone(), &self.verdicts, reason, &now),
        }
    }

    #[track_caller]
    fn refused(&self, expected: &str) {
        match self.decide() {
            Ok(_) => panic!("let through, and should have been refused: {expected}"),
            Err(why) => assert!(why.to_string().contains(expected), "{why}"),
        }
    }

    #[track_caller]
    fn passes(&self) {
        if let Err(why) = self.decide() {
            panic!("refused: {why}");
        }
    }
}

#[test]
fn another_person_s_signed_word_lets_it_through() {
    case(vec![yes("bert")]).passes();
    case(vec![]).refused("has 0 of 1 approvals");
}

#[test]
fn nobody_agrees_to_what_they_proposed_or_would_run_whatever_account_they_use() {
    let mut own = case(vec![yes("anna")]);
    own.policy.roles[0].approves = vec![pattern("*")];
    own.refused("anna proposed it");
    own.user = "anna-admin";
    own.refused("anna proposed it");
    // Bert is said to have agreed to anna's, and runs it himself: that is one person.
    let mut runner = case(vec![yes("bert")]);
    runner.user = "bert";
    runner.refused("bert proposed it: nobody agrees to their own request");
}

#[test]
fn a_word_counts_with_its_own_signature_on_this_request_and_this_plan_alone() {
    case(vec![signed(&statement("bert"), "carl")]).refused("no key of theirs made the signature");
    case(vec![yes("dora")]).refused("no role of dora may agree to it");
    let other = Statement { request: id(8), ..statement("bert") };
    case(vec![signed(&other, "bert")]).refused("has 0 of 1 approvals");
    let other = Statement { plan: Digest::of(b"another"), ..statement("bert") };
    case(vec![signed(&other, "bert")]).refused("it is about another plan");
    let mut renamed = yes("bert");
    renamed.by = person_name("carl");
    case(vec![renamed]).refused("is said to be of carl, and its statement names bert");
    let mut changed = yes("bert");
    changed.statement = Statement { expires_ms: EXPIRES_MS + 1, ..statement("bert") }.encode().unwrap();
    case(vec![changed]).refused("no key of theirs made the signature");
    let mut spelled = yes("bert");
    spelled.statement.push(' ');
    case(vec![spelled]).refused("not written in the canonical form");
}

#[test]
fn the_last_second_counts_and_the_next_does_not() {
    let mut late = case(vec![yes("bert")]);
    late.now_ms = EXPIRES_MS - 1_000;
    late.passes();
    late.now_ms = EXPIRES_MS;
    late.refused("3f9a1c2b44d0-7 expired");
    let longer = Statement { expires_ms: EXPIRES_MS + 3_600_000, ..statement("bert") };
    let mut stretched = case(vec![signed(&longer, "bert")]);
    stretched.now_ms = EXPIRES_MS + 1_000;
    stretched.refused("expired");
    let shorter = Statement { expires_ms: NOW_MS, ..statement("bert") };
    case(vec![signed(&shorter, "bert")]).refused("it expired");
}

#[test]
fn a_word_from_the_future_counts_only_as_far_as_clocks_may_differ() {
    let ahead = |ms: i64| case(vec![signed(&Statement { at_ms: NOW_MS + ms, ..statement("bert") }, "bert")]);
    ahead(60_000).passes();
    ahead(600_000).refused("it was made in the future");
}

#[test]
fn one_denial_outweighs_every_approval_and_one_person_counts_once() {
    let no = Statement { word: Word::Deny, reason: "not tonight".into(), ..statement("dora") };
    case(vec![yes("bert"), yes("carl"), signed(&no, "dora")]).refused("was denied by dora: not tonight");
    let mut two = case(vec![yes("bert"), yes("bert")]);
    two.policy.rules = vec![Rule { actions: vec![pattern("logs.*")], scope: Scope::All, approvals: 2 }];
    two.refused("has 1 of 2 approvals");
    two.verdicts.push(yes("carl"));
    two.passes();
}

#[test]
fn whatever_of_the_plan_differs_it_is_named() {
    let differs = |change: fn(&mut Covered), expected: &str| {
        let mut case = case(vec![yes("bert")]);
        change(&mut case.covered);
        case.refused(expected);
    };
    differs(|covered| covered.hosts[0].host_key = "SHA256:y".to_owned(), "the host key of web1");
    differs(|covered| covered.hosts[0].argv.push("-f".to_owned()), "the command line on web1");
    differs(|covered| covered.policy = Digest::of(b"new"), "the policy");
    differs(|covered| covered.action_version = 2, "the action itself");
    differs(|covered| covered.limits.objects_max += 1, "the action itself");
    differs(|covered| drop(covered.parameters.insert("file".to_owned(), "/etc/passwd".to_owned())), "the parameters");
}

#[test]
fn a_policy_that_the_actor_could_change_can_not_take_an_approval_away() {
    let mut own = case(vec![yes("bert")]);
    own.policy.rules = vec![Rule { actions: vec![pattern("*")], scope: Scope::All, approvals: 0 }];
    own.policy.changeable = Some("you could change this policy yourself".to_owned());
    own.refused("logs.truncate is destructive and needs 1 approval: you could change this policy yourself");
    own.policy.changeable = None;
    own.verdicts.clear();
    own.passes();
}

#[test]
fn a_role_reaches_as_far_as_its_groups_and_actions() {
    let mut far = case(vec![yes("bert")]);
    far.policy.roles[0].scope = Scope::Groups(vec![GroupName::parse("db").unwrap()]);
    far.refused("no role of anna (operator) may logs.truncate on all of these hosts");
    let mut other = case(vec![yes("bert")]);
    other.policy.roles[0].may = vec![pattern("unit.*"), pattern("logs.rotate")];
    other.refused("no role of anna (operator) may logs.truncate");
    let mut approver = case(vec![yes("bert")]);
    approver.policy.roles[1].scope = Scope::Groups(vec![GroupName::parse("db").unwrap()]);
    approver.refused("no role of bert may agree to it");
}

fn hold(path: &str) -> Hold {
    let day = |day| NaiveDate::from_ymd_opt(2026, 3, day).unwrap();
    Hold {
        name: HoldName::parse("evidence").unwrap(),
        paths: vec![path.to_owned()],
        actions: Vec::new(),
        scope: Scope::All,
        by: "Security".to_owned(),
        since: day(3),
        review: day(30),
        lifted_by: role_name("security"),
        reason: "break-in".to_owned(),
    }
}

#[test]
fn a_hold_covers_what_lies_below_and_around_its_path_and_nothing_beside_it() {
    for (path, held) in
        [("/var/log", true), ("/var/log/app.log", true), ("/", true), ("/var/log/app", false), ("/var/lo", false)]
    {
        let mut case = case(vec![yes("bert")]);
        case.policy.holds = vec![hold(path)];
        match held {
            true => case.refused("held: evidence"),
            false => case.passes(),
        }
    }
    let mut by_action = case(vec![yes("bert")]);
    by_action.policy.holds = vec![Hold { actions: vec![pattern("logs.*")], ..hold("/srv") }];
    by_action.refused("held: evidence");
}

#[test]
fn a_hold_is_lifted_by_its_role_alone_and_stands_again_once_it_changes() {
    let lift = |by: &str| {
        let text = canonical::encode(&Lift::new(&hold("/var/log"), &person_name(by), NOW_MS)).unwrap();
        let signature = signature::sign(&KEYS[by], Purpose::Lift, text.as_bytes()).unwrap();
        (text, signature)
    };
    let held = |lifts: Vec<(String, String)>, hold: Hold| {
        let mut case = case(vec![yes("bert")]);
        (case.policy.holds, case.lifts) = (vec![hold], lifts);
        case
    };
    held(vec![lift("dora")], hold("/var/log")).passes();
    held(vec![lift("anna")], hold("/var/log")).refused("held: evidence");
    held(vec![lift("dora")], Hold { reason: "another".to_owned(), ..hold("/var/log") }).refused("held: evidence");
    let (text, _) = lift("dora");
    let forged = signature::sign(&KEYS["anna"], Purpose::Lift, text.as_bytes()).unwrap();
    held(vec![(text, forged)], hold("/var/log")).refused("held: evidence");
}

#[test]
fn a_path_is_held_however_it_is_written() {
    for path in ["local:/var/log/app", "/var//log/app/x", "/var/./log", "/srv/../var/log", "/var/log/other"] {
        let mut case = case(vec![yes("bert")]);
        case.covered.parameters.insert("repository".to_owned(), path.to_owned());
        case.policy.holds = vec![hold("/var/log/app")];
        let held = case.decide();
        let is_other = path == "/var/log/other";
        assert!(is_other || matches!(held, Err(NotApproved::Held(_))), "{path}: {held:?}");
    }
}

#[test]
fn what_the_actor_could_have_written_is_never_waved_through() {
    let mut own = case(vec![]);
    own.covered.is_own = true;
    own.verdicts.clear();
    own.policy.rules = vec![Rule { actions: vec![pattern("*")], scope: Scope::All, approvals: 0 }];
    // The request is about the same plan: nothing drifted.
    own.request = Request { plan: own.covered.encode().unwrap(), ..request() };
    own.refused("has 0 of 1 approvals");
    own.policy.holds = vec![hold("/srv/elsewhere")];
    own.refused("held: evidence");
}

#[test]
fn who_puts_hosts_into_groups_can_not_take_them_out_of_what_forbids() {
    let db = Scope::Groups(vec![GroupName::parse("db").unwrap()]);
    let mut case = case(vec![]);
    case.policy.rules = vec![
        Rule { actions: vec![pattern("*")], scope: Scope::All, approvals: 0 },
        Rule { actions: vec![pattern("*")], scope: db.clone(), approvals: 2 },
    ];
    case.policy.holds = vec![Hold { scope: db, ..hold("/var/log") }];
    case.passes();
    case.policy.trusts_groups = false;
    case.refused("held: evidence");
    case.policy.holds.clear();
    case.refused("has 0 of 2 approvals");
}

#[test]
fn the_glass_is_broken_by_who_may_with_a_reason_and_neither_hold_nor_freeze_nor_denial_gives_way() {
    let mut glass = case(vec![]);
    glass.glass = Some("payments stand still");
    glass.refused("no role of this account may break the glass for this");
    glass.policy.roles[0].breaks_glass = true;
    glass.passes();
    glass.frozen = Some("an investigation");
    glass.refused("frozen: an investigation");
    glass.frozen = None;
    glass.policy.holds = vec![hold("/var/log")];
    glass.refused("held: evidence");
    glass.policy.holds.clear();
    let no = Statement { word: Word::Deny, reason: "no".into(), ..statement("carl") };
    glass.verdicts = vec![signed(&no, "carl")];
    glass.refused("was denied by carl");
    glass.verdicts.clear();
    glass.glass = Some("now");
    glass.refused("needs a reason of at least");
}
