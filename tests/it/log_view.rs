//! Logs as the log view reads them: each second, through rotation, a lost link, and more than anybody reads.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use dogwatch::engine::tail::{LogFeed, LogNews};

use crate::screen::Terminal;
use crate::support::*;

fn append(file: &std::path::Path, text: &str) {
    let mut opened = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    opened.write_all(text.as_bytes()).unwrap();
}

/// Takes news until the lines so far are as wanted.
fn lines_until(feed: &LogFeed, what: &str, wanted: impl Fn(&[LogNews], &[String]) -> bool) -> Vec<String> {
    let deadline = Instant::now() + GUARD;
    let (mut logs, mut lines) = (Vec::new(), Vec::new());
    while !wanted(&logs, &lines) {
        let left = deadline.saturating_duration_since(Instant::now());
        let news = feed.news.recv_timeout(left).unwrap_or_else(|error| panic!("{what}: {error}\n{lines:?}\n{logs:?}"));
        lines.extend(news.logs.iter().flat_map(|log| &log.lines).map(ToString::to_string));
        logs.extend(news.logs);
    }
    lines
}

#[test]
fn a_log_is_read_on_through_its_rotation_and_its_errors_are_found() {
    let place = Place::new();
    let began = chrono::Utc::now() - chrono::Duration::minutes(1);
    let stamp = |second: i64| (began + chrono::Duration::seconds(second)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let log = place.write("app.log", &format!("{} started\n", stamp(0)));
    let hosts = format!("{FAST}[host.me]\nlocal = true\nlogs = ['{}']\n", log.display());
    let mut terminal = Terminal::start_with(&place, &hosts, 24, 100, &[]);
    terminal.until("disk.space:/");
    terminal.press("l");
    terminal.until("Logs of me, by true time, following");
    terminal.until("  me           started");
    append(&log, &format!("{} first\n{} error: disk gone\n  at main()\n", stamp(1), stamp(2)));
    terminal.until("at main()");
    fs::rename(&log, place.path("app.log.1")).unwrap();
    append(&place.path("app.log.1"), &format!("{} written after the rotation\n", stamp(3)));
    append(&log, &format!("{} of the new file\n", stamp(4)));
    let shown = terminal.until("of the new file");
    assert_eq!(shown.matches("first").count(), 1, "{shown}");
    terminal.until("written after the rotation");
    terminal.press("N");
    let shown = terminal.until("G follows again");
    assert!(shown.contains("✖ me") && shown.contains(&format!("app.log: {} error: disk gone", stamp(2))), "{shown}");
    terminal.press("/file|rotation\r");
    terminal.until_gone("disk gone");
    terminal.press("x");
    terminal.until("are left out");
    terminal.press("written\r");
    terminal.until_gone("written after");
    terminal.until("of the new file");
    terminal.press(" ");
    terminal.until("PAUSED");
    append(&log, &format!("{} another file\n", stamp(5)));
    terminal.until("PAUSED, 1 more waiting");
    terminal.press(" ");
    terminal.until("another file");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn what_a_lost_link_kept_from_the_screen_comes_later_or_is_counted() {
    let sshd = Sshd::start();
    let place = Place::new();
    let log = place.write("app.log", "");
    let config = place.write("ssh", &sshd.ssh_config("web1", "root"));
    let hosts = format!(
        "ssh_config = '{}'\n{FAST}[defaults.log]\nbytes_max = '1 KiB'\n[host.web1]\nlogs = ['{}']\n",
        config.display(),
        log.display()
    );
    let mut watch = Watch::start(&place, &hosts);
    watch.until("web1 answers", |board| board.hosts.values().any(|host| host.has_answered() && !host.own));
    let news = watch.tail();
    append(&log, "before the link went\n");
    lines_until(&news, "before", |_, lines| lines.iter().any(|line| line == "before the link went"));
    let pid = sshd.server.0.id().to_string();
    assert!(Command::new("pkill").args(["-KILL", "-P", &pid]).status().unwrap().success());
    watch.until("the link is lost", |board| {
        board.hosts.iter().any(|(name, host)| name.as_str() == "web1" && host.link().1.is_some())
    });
    let many: String = (0..200).map(|number| format!("line {number} while nobody looked\n")).collect();
    append(&log, &many);
    append(&log, "the last line\n");
    let told = std::cell::Cell::new(0);
    let lines = lines_until(&news, "after", |logs, lines| {
        told.set(logs.iter().map(|log| log.missed.bytes).sum());
        lines.iter().any(|line| line == "the last line")
    });
    let seen: u64 = lines.iter().map(|line| line.len() as u64 + 1).sum();
    let written = many.len() as u64 + "the last line\n".len() as u64;
    assert!(0 < told.get(), "nothing is said to be missing");
    // A line that the gap cut in two is in neither.
    assert!((written - 64..=written + 64).contains(&(seen + told.get())), "{seen} + {} of {written}", told.get());
}

#[test]
fn ten_thousand_lines_at_once_are_capped_and_what_was_dropped_is_said() {
    let place = Place::new();
    let log = place.write("app.log", "");
    let hosts = format!("{FAST}[host.me]\nlocal = true\nlogs = ['{}']\n", log.display());
    let mut terminal = Terminal::start_with(&place, &hosts, 24, 100, &[]);
    terminal.until("disk.space:/");
    terminal.press("l");
    terminal.until("following");
    append(&log, "one line\n");
    terminal.until("one line");
    append(&log, &(0..10_000).map(|number| format!("line {number}\n")).collect::<String>());
    terminal.until("line 9999");
    terminal.press("/dropped\r");
    terminal.until("dropped 9");
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

/// logrotate leaves a copy beside the log: what was there before the view opened comes from the log alone, and no new line
/// is taken for the end of an old one.
#[test]
fn an_opened_log_shows_its_last_lines_and_loses_none_after() {
    let place = Place::new();
    let old: String = (0..2_000).map(|number| format!("old line {number}\n")).collect();
    place.write("app.log.1", &old);
    let log = place.write("app.log", &(0..2_000).map(|number| format!("line {number}\n")).collect::<String>());
    let hosts = format!("{FAST}[host.me]\nlocal = true\nlogs = ['{}']\n", log.display());
    let mut watch = Watch::start(&place, &hosts);
    watch.until("me answers", |board| board.hosts.values().any(|host| host.has_answered()));
    let feed = watch.tail();
    let before = lines_until(&feed, "what was there", |_, lines| lines.iter().any(|line| line == "line 1999"));
    assert!(before.iter().all(|line| line.starts_with("line ")), "{before:?}");
    let first: usize = before[0][5..].parse().unwrap();
    let shown: Vec<String> = (first..2_000).map(|number| format!("line {number}")).collect();
    assert_eq!(before, shown, "half a line, or a line that is missing");
    for number in 2_000..2_004 {
        append(&log, &format!("line {number}\n"));
        let lines = lines_until(&feed, "a new line", |_, lines| !lines.is_empty());
        assert_eq!(lines, [format!("line {number}")]);
    }
}

#[test]
fn a_look_at_logs_that_hangs_is_said_and_never_started_twice() {
    let place = Place::new();
    let log = place.write("app.log", "one\n");
    let hosts = format!("{FAST}deadline = '1s'\n[host.me]\nlocal = true\nlogs = ['{}']\n", log.display());
    let mut watch = Watch::start(&place, &hosts);
    watch.until("me answers", |board| board.hosts.values().any(|host| host.has_answered()));
    let feed = watch.tail();
    lines_until(&feed, "what was there", |_, lines| lines.iter().any(|line| line == "one"));
    // A FIFO in its place: whoever opens it to read waits for a writer.
    fs::remove_file(&log).unwrap();
    run("mkfifo", &[log.to_str().unwrap()]);
    let told = lines_until(&feed, "the trouble", |logs, _| logs.iter().any(|log| log.trouble.is_some()));
    assert!(told.is_empty(), "{told:?}");
}
