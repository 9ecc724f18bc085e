//! What keys do beyond moving about: a shell on a host, a copy, the mouse, keys of one's own, and a demo.

use std::os::unix::fs::PermissionsExt;

use dogwatch::adapters::clock;
use dogwatch::adapters::store::history;
use dogwatch::domain::fleet::HostName;

use crate::screen::Terminal;
use crate::support::*;

fn own() -> String {
    format!("{FAST}[host.me]\nlocal = true\n")
}

fn started(place: &Place, environment: &[&str], more: &[&str]) -> Terminal {
    // Other tests' small file systems come and go meanwhile.
    let hosts = format!("{}[defaults.disk]\nignore = ['/run/*', '/dev/*', '/var/*', '/mnt/*']\n", own());
    let hosts = place.write("hosts.toml", &hosts);
    let words = [env!("CARGO_BIN_EXE_dogwatch"), "--hosts", hosts.to_str().unwrap()];
    let words = ["env"].iter().chain(environment).chain(&words).chain(more).map(|word| (*word).to_owned());
    let mut terminal = Terminal::run(place, &words.collect::<Vec<_>>(), 24, 120);
    terminal.until("disk.space:/");
    terminal
}

#[test]
fn s_gives_the_terminal_to_a_shell_which_is_noted_and_comes_back() {
    let place = Place::new();
    let mut terminal = started(&place, &["SHELL=/bin/sh", "PS1=here$ "], &[]);
    terminal.press("s");
    terminal.until("here$ ");
    terminal.press("echo in-the-$((40+2))-shell\r");
    terminal.until("in-the-42-shell");
    // What the shell is sent is not the dashboard's.
    terminal.press("exit\r");
    terminal.until("back from me");
    terminal.until("Fleet, by need");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    let host = HostName::parse("me").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let read = runtime.block_on(history::read(&place.path("state/series.db"), &host, clock::now())).unwrap();
    let noted: Vec<String> = read.marks.iter().map(|mark| mark.what.to_string()).collect();
    assert!(noted.iter().any(|what| what.ends_with("opened a shell here")), "{noted:?}");
}

#[test]
fn y_copies_by_osc_52_and_keeps_a_file_for_this_user_alone() {
    let place = Place::new();
    let mut terminal = started(&place, &[], &[]);
    terminal.press("2");
    terminal.until("Disks over the fleet");
    terminal.press("y");
    terminal.until_sent("\x1b]52;c;");
    terminal.until("copied.txt too");
    let file = place.path("state/copied.txt");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.starts_with("me ") && kept.contains("disk."), "{kept}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_mouse_is_the_terminals_own_until_m_takes_it() {
    let place = Place::new();
    let mut terminal = started(&place, &[], &[]);
    assert!(!text(&terminal.raw).contains("\x1b[?1000h"));
    terminal.press("2");
    terminal.until("Disks over the fleet");
    terminal.press("m");
    terminal.until_sent("\x1b[?1000h");
    terminal.until("dogwatch's");
    // A press on the second row of the table, as xterm's mode 1006 writes it: the row is told whole below it.
    let row = |shown: &str, row: usize| {
        shown.lines().nth(row).unwrap_or_default().split_whitespace().nth(3).unwrap_or_default().to_owned()
    };
    let shown = terminal.until("disk.inodes:/");
    let (first, second) = (row(&shown, 3), row(&shown, 4));
    assert_ne!(first, second, "{shown}");
    terminal.press("\x1b[<0;10;5M");
    terminal.press("y");
    terminal.until("copied.txt too");
    let copied = std::fs::read_to_string(place.path("state/copied.txt")).unwrap();
    assert!(copied.contains(&format!(" {second}: ")), "{copied} is not {second}");
    terminal.press("m");
    terminal.until_sent("\x1b[?1000l");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn keys_of_ones_own_are_taken_and_a_broken_file_is_told_with_its_place() {
    let place = Place::new();
    std::fs::create_dir(place.path("dogwatch")).unwrap();
    let home = format!("XDG_CONFIG_HOME={}", place.0.display());
    place.write("dogwatch/keys.toml", "quit = [\"Q\"]\n");
    let mut terminal = started(&place, &[&home], &[]);
    terminal.press("q");
    terminal.press("Q");
    assert_eq!(terminal.ends(), 0);
    place.write("dogwatch/keys.toml", "help = [\"F1\"]\nquitt = [\"Q\"]\n");
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_dogwatch"))
        .args(["keys", "check"])
        .env("XDG_CONFIG_HOME", &place.0)
        .output()
        .unwrap();
    let said = text(&check.stderr);
    assert_eq!(check.status.code(), Some(65), "{said}");
    assert!(said.contains("keys.toml:2:1: no action is named 'quitt', did you mean 'quit'?"), "{said}");
    assert!(said.contains("keys.toml:1:8: 'F1' is no key"), "{said}");
}

#[test]
fn a_demo_says_demo_in_every_view_asks_nobody_and_leaves_nothing() {
    let place = Place::new();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let words =
        ["env", &format!("TMPDIR={}", temporary.display()), env!("CARGO_BIN_EXE_dogwatch"), "demo", "unwatched-corner"];
    let mut terminal = Terminal::run(&place, &words.map(str::to_owned), 24, 120);
    terminal.until("READ-ONLY: /backup");
    for (key, title) in [
        ("2", "Disks over"),
        ("3", "Logs over"),
        ("4", "Backups over"),
        ("5", "Jobs over"),
        ("1", "by need"),
        // Which of its two critical hosts stands first depends on how long it has played.
        ("/bak1", "Enter keeps it"),
        ("\r", "/bak1"),
        ("\r", "bak1 connected"),
    ] {
        terminal.press(key);
        let shown = terminal.until(title);
        assert!(shown.lines().next().is_some_and(|header| header.contains(" DEMO ")), "{shown}");
    }
    terminal.press("r");
    terminal.until("its hosts are recordings");
    assert!(!place.path("state").exists(), "a demo touched the state directory");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}
