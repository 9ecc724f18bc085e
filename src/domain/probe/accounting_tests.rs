use super::*;
use crate::domain::probe::acct_cursor::UNPACKED_BYTES_MAX;
use crate::domain::proof::acct::{tests::record, write};

const NOW_S: i64 = 1_790_100_000;

fn bytes(pids: std::ops::Range<u32>) -> Vec<u8> {
    pids.flat_map(|pid| write(&record("sh", pid, 1_790_000_000 + pid, 200, 0))).collect()
}

/// The same with numbers that pack badly.
fn noisy(pids: std::ops::Range<u32>) -> Vec<u8> {
    let noise = |pid: u32| pid.wrapping_mul(2_654_435_761);
    let of = |pid: u32| AcctRecord {
        uid: noise(pid),
        gid: noise(pid + 7),
        ppid: noise(pid + 13) | 2,
        tty: noise(pid + 17) as u16,
        ..record("sh", pid, 1_790_000_000 + pid, 200, noise(pid + 23) & 0xff00)
    };
    pids.flat_map(|pid| write(&of(pid))).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(content).and_then(|()| packer.finish()).unwrap_or_default()
}

/// A host whose files are these, asked once; the pids that came.
fn poll(
    (cursor, memory): &mut (AcctCursor, AcctMemory),
    files: &[(u64, &str, &[u8])],
) -> (Vec<u32>, AccountingReading) {
    let parameters = cursor.parameters(memory, None);
    let (inode, from): (u64, usize) = (parameters[1].parse().unwrap_or(0), parameters[2].parse().unwrap_or(0));
    let mut head = "k 4 2 30\ns 500 900\np /var/log/account/pacct\n".to_owned();
    // The one that is written is told first.
    for (index, (inode, name, content)) in files.iter().enumerate().rev() {
        let written = NOW_S - 1_000 * (files.len() - index) as i64;
        head += &format!("a {inode} {} {written} /var/log/account/{name}\n", content.len());
    }
    let mut parts = vec![head.into_bytes()];
    if let Some((_, _, content)) = files.iter().find(|(found, ..)| *found == inode) {
        let text = format!("c {inode} {from}\n");
        parts[0].extend_from_slice(text.as_bytes());
        let end = content.len().min(from + BYTES_MAX as usize);
        parts.push(content.get(from..end).unwrap_or_default().to_vec());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let answer = Answer { body: b"", parts, status: 0 };
    let reading = parse(&answer, cursor, memory, NOW_S).unwrap_or_else(|error| panic!("{error}"));
    (reading.records.iter().map(|found| found.record.pid).collect(), reading)
}

#[test]
fn what_is_there_is_read_once_and_then_what_is_new() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let file = bytes(1..4);
    assert_eq!(poll(&mut cursor, &[(7, "pacct", &file)]).0, Vec::<u32>::new());
    let (pids, reading) = poll(&mut cursor, &[(7, "pacct", &file)]);
    assert_eq!((pids, reading.grew, reading.behind_bytes), (vec![1, 2, 3], Some(false), 0));
    let (pids, reading) = poll(&mut cursor, &[(7, "pacct", &bytes(1..6))]);
    assert_eq!((pids, reading.grew, reading.gaps), (vec![4, 5], Some(true), 0));
}

#[test]
fn older_files_come_first_and_a_rotation_loses_nothing() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let (old, live) = (bytes(1..3), bytes(3..5));
    let files: [(u64, &str, &[u8]); 2] = [(6, "pacct.1", &old), (7, "pacct", &live)];
    let first: Vec<u32> = (0..4).flat_map(|_| poll(&mut cursor, &files).0).collect();
    assert_eq!(first, [1, 2, 3, 4]);
    // What was written before the rotation and after the last poll is in a file of another name.
    let (rotated, new) = (bytes(3..7), bytes(7..9));
    let files: [(u64, &str, &[u8]); 3] = [(6, "pacct.2", &old), (7, "pacct.1", &rotated), (8, "pacct", &new)];
    let (first, reading) = poll(&mut cursor, &files);
    let rest = (0..2).flat_map(|_| poll(&mut cursor, &files).0);
    let second: Vec<u32> = first.into_iter().chain(rest).collect();
    assert_eq!((second, reading.gaps), (vec![5, 6, 7, 8], 0));
}

#[test]
fn a_file_that_was_packed_is_read_on_where_it_was() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let live = bytes(1..4);
    (0..2).for_each(|_| drop(poll(&mut cursor, &[(7, "pacct", &live)])));
    let (packed, new) = (gzip(&bytes(1..6)), bytes(6..8));
    let files: [(u64, &str, &[u8]); 2] = [(9, "pacct.1.gz", &packed), (8, "pacct", &new)];
    let (first, reading) = poll(&mut cursor, &files);
    let rest = (0..3).flat_map(|_| poll(&mut cursor, &files).0);
    let pids: Vec<u32> = first.into_iter().chain(rest).collect();
    assert_eq!((pids, reading.gaps), (vec![4, 5, 6, 7], 0));
}

/// Each poll leaves records itself: a file that stands still is written by nobody.
#[test]
fn a_silence_is_one_gap_however_long_it_is() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let gaps = [4, 6, 6, 6, 6, 8, 8].map(|end| poll(&mut cursor, &[(7, "pacct", &bytes(1..end))]).1.gaps);
    assert_eq!(gaps, [0, 0, 1, 1, 1, 1, 2]);
}

/// Packed by the host: 200,000 records are more than one piece of it, and than one piece unpacks to.
#[test]
fn a_large_packed_file_is_unpacked_piece_by_piece_and_a_restart_reads_none_of_it_twice() {
    let (mut cursor, large) = (<(AcctCursor, AcctMemory)>::default(), noisy(1..200_000));
    let (packed, live) = (gzip(&large), bytes(300_000..300_002));
    assert!(2 * BYTES_MAX < packed.len() as u64, "{}", packed.len());
    let files: [(u64, &str, &[u8]); 2] = [(6, "pacct.1.gz", &packed), (7, "pacct", &live)];
    let mut pids = Vec::new();
    for turn in 0..60 {
        let (came, reading) = poll(&mut cursor, &files);
        assert!(came.len() * RECORD_BYTES <= UNPACKED_BYTES_MAX + (1 << 16), "{}", came.len());
        assert_eq!(reading.gaps, 0);
        pids.extend(came);
        if turn == 2 {
            // Within a record: its beginning goes with the process.
            assert_ne!(cursor.0.held, 0);
            cursor.1 = AcctMemory::default();
        }
    }
    let whole: Vec<u32> = (1..200_000).chain(300_000..300_002).collect();
    assert!(pids == whole, "{} of {}", pids.len(), whole.len());
}

#[test]
fn a_packed_file_that_was_cut_is_read_as_far_as_it_goes_and_leaves_a_gap() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let packed = gzip(&bytes(1..4));
    let files: [(u64, &str, &[u8]); 2] = [(6, "pacct.1.gz", &packed[..packed.len() - 9]), (7, "pacct", &bytes(4..6))];
    let pids: Vec<u32> = (0..4).flat_map(|_| poll(&mut cursor, &files).0).collect();
    assert!(pids.ends_with(&[4, 5]), "{pids:?}");
    assert_eq!(poll(&mut cursor, &files).1.gaps, 1);
}

#[test]
fn a_file_that_vanished_or_was_cut_leaves_a_counted_gap() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    (0..2).for_each(|_| drop(poll(&mut cursor, &[(7, "pacct", &bytes(1..4))])));
    let (pids, reading) = poll(&mut cursor, &[(7, "pacct", &bytes(9..10))]);
    assert_eq!((pids, reading.gaps), (vec![], 1));
    assert_eq!(poll(&mut cursor, &[(7, "pacct", &bytes(9..10))]).0, [9]);
    let (_, reading) = poll(&mut cursor, &[(8, "pacct", &bytes(11..12))]);
    assert_eq!((reading.gaps, poll(&mut cursor, &[(8, "pacct", &bytes(11..12))]).0), (2, vec![11]));
}

#[test]
fn a_large_file_is_caught_up_with_piece_by_piece() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    let large = bytes(1..10_000);
    let file: [(u64, &str, &[u8]); 1] = [(7, "pacct", &large)];
    let (_, reading) = poll(&mut cursor, &file);
    assert!(cursor.0.is_behind() && reading.behind_bytes == large.len() as u64);
    let pids: Vec<u32> = (0..3).flat_map(|_| poll(&mut cursor, &file).0).collect();
    assert!(pids == (1..10_000).collect::<Vec<_>>() && !cursor.0.is_behind());
}

#[test]
fn without_a_file_that_is_said_and_the_system_is_searched_once() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    assert_eq!(cursor.0.parameters(&cursor.1, None)[0], "?");
    let answer = Answer { body: b"k 4 2 30\ns 500 900\nn\n", parts: Vec::new(), status: 0 };
    let reading = parse(&answer, &mut cursor.0, &mut cursor.1, NOW_S).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (reading.path, reading.limits, cursor.0.parameters(&cursor.1, None)[0].as_str()),
        (None, Some((2, 4)), "-")
    );
}

/// ext4 gives a freed number to the next file.
#[test]
fn another_file_under_the_same_number_is_read_from_its_beginning_behind_a_gap() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    (0..2).for_each(|_| drop(poll(&mut cursor, &[(7, "pacct", &bytes(1..4))])));
    let pids: Vec<u32> =
        [109, 110].iter().flat_map(|end| poll(&mut cursor, &[(7, "pacct", &bytes(100..*end))]).0).collect();
    assert_eq!((pids, cursor.0.gaps), ((100..110).collect(), 1));
}

#[test]
fn a_packed_file_that_is_not_the_one_that_was_read_is_read_whole_behind_a_gap() {
    for other in [bytes(100..109), bytes(100..101)] {
        let mut cursor = <(AcctCursor, AcctMemory)>::default();
        (0..2).for_each(|_| drop(poll(&mut cursor, &[(7, "pacct", &bytes(1..4))])));
        let (packed, new) = (gzip(&other), bytes(200..202));
        let files: [(u64, &str, &[u8]); 2] = [(9, "pacct.1.gz", &packed), (8, "pacct", &new)];
        let pids: Vec<u32> = (0..5).flat_map(|_| poll(&mut cursor, &files).0).collect();
        assert!(pids.starts_with(&[100]) && pids.ends_with(&[200, 201]), "{pids:?}");
        assert_eq!(pids.len(), other.len() / RECORD_BYTES + 2);
        assert!(1 <= cursor.0.gaps);
    }
}

#[test]
fn bytes_that_are_no_records_are_a_gap_that_stays_counted() {
    let mut cursor = <(AcctCursor, AcctMemory)>::default();
    (0..2).for_each(|_| drop(poll(&mut cursor, &[(7, "pacct", &bytes(1..4))])));
    let file = [bytes(1..4), vec![0xff; 100], bytes(4..9)].concat();
    let (pids, reading) = poll(&mut cursor, &[(7, "pacct", &file)]);
    assert_eq!((pids, reading.passed_over, reading.gaps), ((4..9).collect(), 100, 1));
    let file = [file, bytes(9..10)].concat();
    assert_eq!(poll(&mut cursor, &[(7, "pacct", &file)]).1.gaps, 1);
}
