//! Guarded actions on the screen, on a real terminal.

use std::fs;

use crate::office::*;
use crate::screen::Terminal;

/// Anna's screen over her own machine.
fn screen(office: &Office, more: &[&str]) -> Terminal {
    let state = office.place.path("state");
    if !state.exists() {
        fs::create_dir(&state).unwrap();
        std::os::unix::fs::chown(&state, Some(65_001), Some(65_001)).unwrap();
        fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let mut words = office.words("anna", more);
    let place = words.iter().position(|word| word == "--state").unwrap();
    words.drain(place..place + 2);
    Terminal::run(&office.place, &words, 30, 120)
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
    terminal.until("1 others must agree; say why you ask:");
    terminal.press("the disk fills\t\t ");
    terminal.until("waits for 1 others, left in ");
    terminal.press("\x1b");
    terminal.until_gone("[ Close ]");
    terminal.press("6");
    let shown = terminal.until("waits for 1 of 1 approvals");
    assert!(shown.contains("actions: 1 waiting") && shown.contains("the disk fills"), "{shown}");
    assert!(!target.exists());
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
