//! Who may look and must not be able to touch, as another user of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use dogwatch::cli::Arguments;

use crate::screen::Terminal;
use crate::support::*;

/// A user with no rights of its own, and its group.
const MANAGER: &str = "65000";

/// The program where every user may run it.
fn program(place: &Place) -> String {
    let copy = place.path("program");
    fs::copy(env!("CARGO_BIN_EXE_dogwatch"), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy.to_str().unwrap().to_owned()
}

fn as_manager(program: &str) -> Vec<String> {
    let words = ["setpriv", "--reuid", MANAGER, "--regid", MANAGER, "--clear-groups", program, "--read-only"];
    words.map(str::to_owned).to_vec()
}

fn look(place: &Place, program: &str, more: &[&str]) -> Output {
    let words = as_manager(program);
    Command::new(&words[0]).args(&words[1..]).arg("--state").arg(place.path("state")).args(more).output().unwrap()
}

fn shared_fleet(place: &Place) -> Terminal {
    let hosts = format!("[store]\ngroup = '{MANAGER}'\n{FAST}[host.me]\nlocal = true\n");
    let mut engine = Terminal::start_with(place, &hosts, 24, 120, &[]);
    engine.until("disk.space:/");
    engine
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn another_user_sees_the_board_and_holds_nothing_that_writes() {
    let place = Place::new();
    let _engine = shared_fleet(&place);
    assert_eq!(mode_of(&place.path("state")), 0o2750);
    for name in ["series.db", "series.db-wal", "series.db-shm"] {
        assert_eq!(mode_of(&place.path("state").join(name)), 0o640, "{name}");
    }
    let mut screen = Terminal::run(&place, &as_manager(&program(&place)), 24, 120);
    let shown = screen.until("disk.space:/");
    assert!(shown.contains("READ-ONLY"), "{shown}");
    for descriptor in fs::read_dir(format!("/proc/{}/fdinfo", screen.pid())).unwrap() {
        let path = descriptor.unwrap().path();
        let target = fs::read_link(path.to_str().unwrap().replace("fdinfo", "fd")).unwrap();
        let flags = fs::read_to_string(&path).unwrap();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
        let access = u32::from_str_radix(&flags, 8).unwrap() & 0o3;
        let is_store = target.starts_with(place.path("state"));
        assert!(!is_store || access == 0, "{} is open for writing", target.display());
        assert!(!target.to_str().unwrap().contains("agent"), "{}", target.display());
    }
    screen.press("r");
    screen.until("read-only: this screen may look");
    screen.press("\x1a");
    screen.press("q");
    assert_eq!(screen.ends(), 0);
}

#[test]
fn every_command_that_asks_or_changes_something_is_refused() {
    let place = Place::new();
    let _engine = shared_fleet(&place);
    let program = program(&place);
    for (parent, command) in [
        ("action", Arguments::command().find_subcommand("action").unwrap().clone()),
        ("approval", Arguments::command().find_subcommand("approval").unwrap().clone()),
    ] {
        for nested in command.get_subcommands() {
            let arguments: &[&str] = match nested.get_name() {
                "can" => &["a", "x.y", "me"],
                "plan" | "run" => &["x.y", "me"],
                "propose" => &["x.y", "me", "--reason", "why"],
                "freeze" | "thaw" | "lift" | "add" => &["why"],
                "sign" | "export" => &["3f9a1c2b44d0-1"],
                "status" | "reconcile" => &[],
                "list" if parent == "approval" => &[],
                "list" | "help" => continue,
                other => panic!("say in this test whether '{parent} {other}' may only look"),
            };
            let output = look(&place, &program, &[&[parent, nested.get_name()], arguments].concat());
            let said = text(&output.stderr);
            let refused = format!("--read-only: '{parent} {}' is refused", nested.get_name());
            assert!(output.status.code() != Some(0) && said.contains(&refused), "{refused}: {said}");
        }
    }
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        let arguments: &[&str] = match name {
            "audit" => &["send"],
            "collect" | "demo" | "init" => &[],
            "doctor" => &["me"],
            "evidence" => &["me", "--job", "x", "--at", "2026-01-01T00:00:00Z", "--out", "/run/dw/none"],
            "hosts" => &["trust", "me"],
            "ran" => &["me", "--at", "2026-01-01T00:00:00Z"],
            // Each of its commands was tried above.
            "action" | "approval" => continue,
            "check" | "completions" | "frame" | "config" | "keys" | "man" | "themes" | "help" => continue,
            other => panic!("say in this test whether '{other}' may only look"),
        };
        let output = look(&place, &program, &[&[name], arguments].concat());
        let said = text(&output.stderr);
        assert_ne!(output.status.code(), Some(0), "{name}");
        assert!(said.contains(&format!("--read-only: '{name}")) && said.contains("is refused"), "{name}: {said}");
    }
    // What a screen that looks shows, the store has.
    Terminal::run(&place, &as_manager(&program), 24, 120).until("disk.space:/");
    let checked = look(&place, &program, &["check"]);
    assert!(text(&checked.stdout).contains(" me (connected)"), "{}{}", text(&checked.stdout), text(&checked.stderr));
    let frame = look(&place, &program, &["frame", "--size", "100x20"]);
    assert!(text(&frame.stdout).contains("Fleet, by need"), "{}", text(&frame.stderr));
}

#[test]
fn without_a_store_a_screen_that_only_looks_makes_none() {
    let place = Place::new();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
    let output = look(&place, &program(&place), &["check"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("series.db"), "{}", text(&output.stderr));
    assert!(!place.path("state").exists());
}
