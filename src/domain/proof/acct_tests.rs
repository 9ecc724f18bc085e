use super::*;
use proptest::prelude::*;

pub fn record(name: &str, pid: u32, begin_s: u32, elapsed_ms: u64, status: u32) -> AcctRecord {
    let mut comm = [0; 16];
    comm[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
    AcctRecord {
        flags: 0,
        version: 3,
        tty: 0,
        status,
        uid: 0,
        gid: 0,
        pid,
        ppid: 1,
        begin_s,
        elapsed_ms,
        user_ms: 0,
        system_ms: 0,
        memory_kib: 0,
        comm,
    }
}

const BEGIN: u32 = 1_790_000_000;

fn decoded(bytes: &[u8]) -> (Vec<u32>, u64) {
    let (mut decoder, mut pids) = (Decoder::default(), Vec::new());
    decoder.feed(bytes, |_, record| pids.push(record.pid));
    decoder.finish(|_, record| pids.push(record.pid));
    (pids, decoder.passed_over)
}

fn three() -> Vec<u8> {
    (1..=3).flat_map(|pid| write(&record("sh", pid, BEGIN, 200, 0x300))).collect()
}

#[test]
fn exit_signal_and_core_are_told_apart() {
    assert_eq!(Ended::of(0x300), Ended::Exited(3));
    assert_eq!(Ended::of(0x0b), Ended::Killed { signal: 11, core: false });
    assert_eq!(Ended::of(0x8b), Ended::Killed { signal: 11, core: true });
    assert!(Ended::of(0).is_success() && !Ended::of(9).is_success());
}

#[test]
fn a_record_of_version_3_is_read_as_it_was_written() {
    let mut written = record("backup-nightly", 4_711, BEGIN, 200, 0x8b);
    (written.flags, written.tty, written.uid, written.user_ms) = (SIGNALLED | CORE, 0x8803, 1_000, 40);
    assert_eq!(read(&write(&written)), Some(written));
}

#[test]
fn the_other_byte_order_is_the_same_record() {
    let little = write(&record("sh", 4_711, BEGIN, 200, 0x300));
    let mut big = little;
    big[1] |= BIG_ENDIAN;
    for (at, width) in [(2, 2), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 4), (28, 4), (32, 2), (34, 2), (36, 2)]
    {
        big[at..at + width].reverse();
    }
    assert_eq!(read(&big), read(&little));
}

#[test]
fn an_old_record_has_no_pid_and_its_ticks_are_its_own() {
    let mut old = [0; RECORD_BYTES];
    old[1] = 2;
    old[2..4].copy_from_slice(&7_u16.to_le_bytes());
    old[8..12].copy_from_slice(&BEGIN.to_le_bytes());
    old[16..18].copy_from_slice(&500_u16.to_le_bytes());
    old[30..32].copy_from_slice(&250_u16.to_le_bytes());
    old[32..36].copy_from_slice(&0x300_u32.to_le_bytes());
    old[36..43].copy_from_slice(b"oldname");
    let read = read(&old).unwrap_or_else(|| panic!("it is a record"));
    assert_eq!((read.pid, read.uid, read.elapsed_ms, read.ended()), (0, 7, 2_000, Ended::Exited(3)));
    assert_eq!(read.name(), b"oldname");
}

#[test]
fn what_lies_between_records_is_passed_over_and_counted() {
    let whole = three();
    assert_eq!(decoded(&whole), (vec![1, 2, 3], 0));
    // Cut in the middle of the first, garbage after the second.
    assert_eq!(decoded(&whole[20..]), (vec![2, 3], 44));
    let garbage = [&whole[..128], &[0xff; 37], &whole[128..], &whole[..64]].concat();
    assert_eq!(decoded(&garbage), (vec![1, 2, 3, 1], 37));
    assert_eq!(decoded(&whole[..100]), (vec![1], 36));
    assert_eq!(decoded(b"no record at all"), (vec![], 16));
}

#[test]
fn another_version_half_way_is_read_on() {
    let mut old = [0; RECORD_BYTES];
    old[1] = 1;
    old[8..12].copy_from_slice(&BEGIN.to_le_bytes());
    old[36..39].copy_from_slice(b"old");
    assert_eq!(decoded(&[&three()[..], &old, &three()].concat()), (vec![1, 2, 3, 0, 1, 2, 3], 0));
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same_records(sizes in prop::collection::vec(1_usize..200, 1..40), cut in 0_usize..64) {
        let whole: Vec<u8> = (1..=40).flat_map(|pid| write(&record("sh", pid, BEGIN, 200, 0))).collect();
        let bytes = &whole[cut..];
        let (mut decoder, mut pids, mut at) = (Decoder::default(), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let end = (at + size).min(bytes.len());
            decoder.feed(&bytes[at..end], |_, record| pids.push(record.pid));
            at = end;
            if at == bytes.len() {
                break;
            }
        }
        decoder.finish(|_, record| pids.push(record.pid));
        prop_assert_eq!((pids, decoder.passed_over), decoded(bytes));
    }

    #[test]
    fn any_bytes_end_in_records_and_what_was_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
        let (pids, passed_over) = decoded(&bytes);
        prop_assert_eq!(pids.len() * RECORD_BYTES + passed_over as usize, bytes.len());
    }
}
