//! Guarded actions on the screen, on a real terminal.

use std::fs;
use std::process::{Command, Stdio};

use crate::office::*;
use crate::screen::Terminal;
use crate::support::*;

/// Anna's screen over her own machine.
fn screen(office: &Office, more: &[&str]) -> Terminal {
    Terminal::run(&office.place, &office.words("anna", more), 30, 120)
}

/// Somebody's screen, with an agent that holds their key.
fn screen_with_agent(office: &Office, who: &str) -> (Terminal, Running) {
    let (_, uid) = PEOPLE.into_iter().find(|(name, _)| *name == who).unwrap();
    let id = uid.to_string();
    let as_them = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).args(words);
        command
    };
    let socket = office.place.path(&format!("{who}/agent"));
    let socket = socket.to_str().unwrap();
    let mut agent = as_them(&["ssh-agent", "-D", "-a", socket]).stdout(Stdio::piped()).spawn().unwrap();
    Lines::of(agent.stdout.take().unwrap()).wait_for("SSH_AUTH_SOCK");
    let agent = Running(agent);
    let key = office.place.path(&format!("{who}.key"));
    let added = as_them(&["ssh-add", "-q", key.to_str().unwrap()]).env("SSH_AUTH_SOCK", socket).output().unwrap();
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut words = office.words(who, &[]);
    let home = words.iter().position(|word| word.starts_with("HOME=")).unwrap();
    words.insert(home, format!("SSH_AUTH_SOCK={socket}"));
    (Terminal::run(&office.place, &words, 30, 120), agent)
}

/// Closes what is over, and quits.
fn leaves(terminal: &mut Terminal) {
    terminal.press("\x1b");
    terminal.until_gone("[ Close ]");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

fn gate(office: &Office) -> (std::path::PathBuf, impl Fn() -> usize) {
    let directory = office.place.path("gates");
    fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(65_001), None).unwrap();
    let file = directory.join("gate");
    let runs = format!("{}.runs", file.display());
    (file, move || fs::read_to_string(&runs).unwrap_or_default().lines().count())
}

#[test]
fn from_a_row_to_its_remedy_by_typing_tab_and_space_and_by_nothing_less() {
    let office = Office::new("");
    let (file, runs) = gate(&office);
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    terminal.press("atest.wait");
    terminal.until("Runs until a file is there");
    terminal.press("\r");
    terminal.until("test.wait me file=");
    terminal.press(&format!("{}\r", file.display()));
    let plan = terminal.until("type me to confirm:");
    assert!(plan.contains("test.wait (safe)") && plan.contains("preview (exit 0):"), "{plan}");
    // Enter, Space, a paste, and the wrong name begin nothing.
    terminal.press("\r");
    terminal.until("Enter begins nothing");
    terminal.press("\x1b[200~me\x1b[201~");
    terminal.until("nothing is pasted here");
    terminal.press("Me\t\t ");
    terminal.until("type me to confirm: Me");
    terminal.press("\x15me");
    terminal.until("type me to confirm: me");
    assert_eq!(runs(), 0);
    terminal.press("\t\t ");
    terminal.until("me: begins, ");
    terminal.until("me: begun");
    assert_eq!(runs(), 1);
    // It goes on while somebody looks elsewhere.
    terminal.press("\x1b");
    terminal.until_gone("me: begun");
    terminal.press("6");
    terminal.until("Actions and audit (local store)");
    terminal.until("running, ");
    fs::write(&file, "").unwrap();
    terminal.until("done: its effect was measured");
    terminal.until_gone("running, ");
    let shown = terminal.until(": done, exit 0");
    assert!(shown.contains("intent") && shown.contains("proposed"), "{shown}");
    assert_eq!(runs(), 1);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn what_needs_others_becomes_a_request_and_is_seen_waiting() {
    let office = Office::new("");
    let target = office.place.path("target");
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    terminal.press(&format!("atest.write me text=x file={}\r", target.display()));
    terminal.until("another person must agree; say why you ask:");
    terminal.press("the disk fills\t\t ");
    terminal.until("waits for another person, left in ");
    terminal.press("\x1b");
    terminal.until_gone("[ Close ]");
    terminal.press("6");
    let shown = terminal.until("0 of 1 agreed, void");
    assert!(shown.contains("actions: 1 waiting") && shown.contains("the disk fills"), "{shown}");
    assert!(!target.exists());
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_request_is_agreed_to_on_another_s_screen_by_nobody_s_own_word_and_then_runs() {
    let office = Office::new("");
    let target = office.place.path("anna/target");
    let (mut anna, _annas_agent) = screen_with_agent(&office, "anna");
    anna.until("disk.space:/");
    anna.press(&format!("atest.write me text=x file={}\r", target.display()));
    anna.until("another person must agree; say why you ask:");
    anna.press("the disk fills\t\t ");
    let shown = anna.until("waits for another person, left in ");
    let id = shown.split("request ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    anna.press("\x1b");
    anna.until_gone("[ Close ]");
    // Her own word counts for nothing, on the screen either.
    anna.press("6");
    anna.until("0 of 1 agreed, void");
    anna.press("\r");
    anna.until(&format!("0 of 1 agreed; type {id} to agree"));
    anna.press(&format!("{id}\t\t "));
    anna.until("anna proposed it: nobody agrees to their own request");
    anna.press("\x1b");
    anna.until_gone("[ Close ]");
    // Another's does, who has a state directory of his own.
    let (mut bert, _berts_agent) = screen_with_agent(&office, "bert");
    bert.until("disk.space:/");
    bert.press("6");
    bert.until("0 of 1 agreed, void");
    bert.press("\r");
    let shown = bert.until(&format!("0 of 1 agreed; type {id} to agree"));
    assert!(shown.contains("asked for by dw-anna on") && shown.contains("test.write (destructive)"), "{shown}");
    bert.press(&format!("{id}\t\t "));
    bert.until("agreed to; left in ");
    leaves(&mut bert);
    assert!(!target.exists());
    anna.press("\r");
    anna.until("type me to confirm:");
    anna.press("me\t\t ");
    anna.until("done: its effect was measured");
    leaves(&mut anna);
    assert_eq!(fs::read_to_string(target).unwrap(), "x\n");
}

#[test]
fn a_denial_on_the_screen_is_the_end_of_a_request() {
    let office = Office::new("");
    let file = format!("file={}", office.place.path("target").display());
    let request = office.proposed("anna", &["test.write", "me", "text=x", &file]);
    let (mut bert, _agent) = screen_with_agent(&office, "bert");
    bert.until("disk.space:/");
    bert.press("6");
    bert.until("0 of 1 agreed, void");
    bert.press("\r");
    bert.until("0 of 1 agreed; type");
    bert.press("deny not before noon");
    bert.until("[ Deny ]");
    bert.press("\t\t ");
    bert.until("denied; left in ");
    leaves(&mut bert);
    let said = office.fails("anna", &["action", "run", "--request", &request, "--confirm", "me"]);
    assert!(said.contains("was denied by bert: not before noon"), "{said}");
}

#[test]
fn a_hold_is_shown_with_its_review_and_lifted_on_the_screen_by_who_may() {
    let hold = "[hold.evidence]\npaths = ['/run/dw']\nby = 'Security'\nsince = '2026-03-03'\n\
                review = '2026-04-03'\nlifted_by = 'security'\nreason = 'an investigation'\n";
    let office = Office::new(hold);
    let file = format!("file={}", office.place.path("target").display());
    let held = |office: &Office| office.run("anna", &["action", "plan", "test.write", "me", "text=x", &file]);
    assert!(text(&held(&office).stderr).contains("held: evidence"));
    for (who, expected) in [("bert", "is not of the role security"), ("carl", "evidence is lifted; left in ")] {
        let (mut terminal, _agent) = screen_with_agent(&office, who);
        terminal.until("disk.space:/");
        terminal.until("1 held past review");
        terminal.press("6");
        terminal.until("its review is OVERDUE by ");
        terminal.press("\r");
        terminal.until("type evidence to lift it:");
        terminal.press("evidence\t\t ");
        terminal.until(expected);
        leaves(&mut terminal);
    }
    let output = held(&office);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_full_disk_s_row_offers_what_would_make_room_and_how_much() {
    let office = Office::new("");
    let directory = std::path::PathBuf::from("/var/log/old");
    fs::create_dir_all(&directory).unwrap();
    let old = directory.join("app.log.1");
    fs::write(&old, vec![b'x'; 3_000_000]).unwrap();
    assert!(Command::new("touch").args(["-d", "3 days ago"]).arg(&old).status().unwrap().success());
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    terminal.press("2/var/log\r");
    terminal.until("/var/log");
    terminal.press("alogs.archive-purge");
    let shown = terminal.until("1 file in /var/log/old");
    assert!(shown.contains("frees up to 3.0 MB"), "{shown}");
    terminal.press("\r");
    terminal.until("directory=/var/log/old");
    terminal.press("\x1b");
    terminal.until_gone("archive=");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_wish_that_is_none_is_told_and_nothing_is_planned() {
    let office = Office::new("");
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    for (wish, expected) in [
        ("test.wait me file=/etc/passwd", "file: '/etc/passwd' is not under /run/dw"),
        ("test.wait me", "test.wait needs file="),
        ("test.nothing me", "no action is named test.nothing"),
        ("test.fail nowhere", "no host is named nowhere"),
        ("test.wait file=/run/dw/x", "name a host"),
    ] {
        terminal.press(&format!("a{wish}\r"));
        terminal.until(expected);
        terminal.press("\x1b");
        terminal.until_gone(expected);
    }
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_terminal_closed_in_the_middle_leaves_the_action_running_and_the_next_start_says_what_became_of_it() {
    let office = Office::new("");
    let (file, runs) = gate(&office);
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    terminal.press(&format!("atest.wait me file={}\r", file.display()));
    terminal.until("type me to confirm:");
    terminal.press("me\t\t ");
    terminal.until("me: begun");
    terminal.kill();
    drop(terminal);
    fs::write(&file, "").unwrap();
    let mut terminal = screen(&office, &[]);
    terminal.until("disk.space:/");
    terminal.press("6");
    let shown = terminal.until("reconciled");
    assert!(shown.contains(": done: the host's own record: "), "{shown}");
    assert_eq!(runs(), 1);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}
