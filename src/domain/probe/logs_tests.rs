use super::*;
use crate::domain::settings::built_in_rules;

/// One poll: the lines of the script, and raw bytes after each `c` line.
fn poll(cursors: &mut LogCursors, head: &str, raw: &[&str]) -> LogReading {
    let pieces: Vec<&str> = head.split("|").collect();
    let mut parts: Vec<&[u8]> = Vec::new();
    for (index, piece) in pieces[..pieces.len() - 1].iter().enumerate() {
        parts.push(piece.as_bytes());
        parts.push(raw[index].as_bytes());
    }
    let answer = Answer { body: pieces[pieces.len() - 1].as_bytes(), parts, status: 0 };
    let watches = [LogWatch::Path("/l".to_owned())];
    let reading = parse(&answer, &watches, Purpose::Count(&built_in_rules(), &[]), cursors);
    reading.unwrap_or_else(|error| panic!("{error}")).logs.remove(0)
}

fn known(cursors: &LogCursors) -> String {
    let watches = [LogWatch::Path("/l".to_owned())];
    let limits = crate::domain::settings::Settings::default().log;
    cursors.parameters(watches.iter(), limits)[2].clone()
}

#[test]
fn the_first_poll_reads_nothing_and_remembers_the_end() {
    let mut cursors = LogCursors::default();
    assert_eq!(known(&cursors), "-");
    let log = poll(&mut cursors, "w\nf 7 100 1 adm - /l\n", &[]);
    assert!(log.first_sample && log.new_bytes == 0 && log.size_bytes() == 100);
    assert_eq!(known(&cursors), "7:100");
}

#[test]
fn new_lines_are_counted_once_and_an_unfinished_one_waits() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 4 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nf 7 19 1 adm 4 /l\nc 7 0\n|\n", &["old\nOut of memory: x\nhal"]);
    assert_eq!((log.new_lines, log.matches.get("oom")), (1, Some(&1)));
    assert_eq!(known(&cursors), "7:21");
}

#[test]
fn more_than_the_cap_is_a_counted_gap() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 100 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nf 7 900 1 adm 100 /l\nc 7 896\n|\n", &["abc\n"]);
    assert_eq!((log.gap_bytes, log.new_bytes), (796, 4));
}

#[test]
fn a_rotation_is_followed_to_the_old_files_end() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 2 1 adm - /l\n", &[]);
    let head = "w\nf 8 4 1 adm 0 /l\nc 8 0\n|\nf 7 6 1 adm 2 /l.1\nc 7 0\n|\n";
    let log = poll(&mut cursors, head, &["new\n", "a\nend\n"]);
    assert_eq!((log.new_lines, log.gap_bytes), (2, 0));
    assert!(log.files.iter().all(|file| file.shrunk_from.is_none()) && log.trouble.is_none());
    assert_eq!(known(&cursors), "8:4 7:6");
}

#[test]
fn a_log_that_is_cleared_without_a_rotation_is_told() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 5000 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nf 7 0 1 adm 5000 /l\n", &[]);
    assert_eq!(log.files[0].shrunk_from, Some(5000));
    assert_eq!(known(&cursors), "7:0");
}

#[test]
fn a_copytruncate_rotation_is_no_shrink() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 5000 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nf 7 0 1 adm 5000 /l\nf 9 5000 1 adm - /l.1\n", &[]);
    assert_eq!(log.files[0].shrunk_from, None);
}

#[test]
fn another_file_under_the_same_inode_is_noticed() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 0 1 adm - /l\n", &[]);
    poll(&mut cursors, "w\nf 7 4 1 adm 0 /l\nc 7 0\n|\n", &["one\n"]);
    let log = poll(&mut cursors, "w\nf 7 8 1 adm 4 /l\nc 7 0\n|\n", &["two\nabc\n"]);
    assert!(log.files[0].replaced);
}

#[test]
fn a_file_that_may_not_be_read_names_the_group_that_may() {
    let mut cursors = LogCursors::default();
    let log = poll(&mut cursors, "w\nx adm /l\n", &[]);
    let trouble = log.trouble.map(|trouble| trouble.to_string());
    assert_eq!(trouble.as_deref(), Some("/l may not be read by this user: add it to group adm"));
}

#[test]
fn hostile_bytes_are_shown_and_not_obeyed() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nf 7 0 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nf 7 9 1 adm 0 /l\nc 7 0\n|\n", &["I/O error \x1b]52;c;x\x07\r\u{202e}\n"]);
    assert_eq!(log.shown[0].as_str(), "I/O error ␛]52;c;x␇␍⟨202E⟩");
}

#[test]
fn dated_rotations_are_told_from_names_with_numbers() {
    assert!(rotated_by_date(b"/var/log/messages-20261121"));
    assert!(!rotated_by_date(b"/var/log/app-1"));
}

proptest::proptest! {
    #[test]
    fn no_output_makes_the_parser_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), part in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let answer = Answer { body: &body, parts: vec![b"w\nc 1 0\n", &part], status: 0 };
        let _ = parse(&answer, &[LogWatch::Path("/l".to_owned())], Purpose::Count(&built_in_rules(), &[]), &mut LogCursors::default());
    }
}

#[test]
fn a_copy_that_logrotate_made_and_cut_is_no_shrink() {
    let mut cursors = LogCursors::default();
    poll(&mut cursors, "w\nt 2026-11-20-0:0:0\nf 7 100 1 adm - /l\n", &[]);
    let log = poll(&mut cursors, "w\nt 2026-11-21-0:0:0\nf 7 10 1 adm 0 /l\nc 7 0\n|\n", &["new line \n"]);
    assert_eq!(log.files.iter().find_map(|file| file.shrunk_from), None);
    assert_eq!(log.rotated_at.as_ref().map(SafeText::as_str), Some("2026-11-21-0:0:0"));
    let log = poll(&mut cursors, "w\nt 2026-11-21-0:0:0\nf 7 2 1 adm 0 /l\nc 7 0\n|\n", &["x\n"]);
    assert_eq!(log.files.iter().find_map(|file| file.shrunk_from), Some(10));
}
