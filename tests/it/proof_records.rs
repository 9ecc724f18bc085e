//! The kernel's own accounting records: read as dump-acct reads them, and no more of them than must be.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use dogwatch::domain::probe::accounting::{self, AcctCursor, AcctMemory};
use dogwatch::domain::probe::script::{Nonce, Section, compose, split};
use dogwatch::domain::proof::acct::{AcctRecord, CORE, Decoder, Ended, FORKED, SIGNALLED, SUPERUSER};

use crate::machine::now_s;
use crate::support::*;

/// Every record of a real file, as dump-acct reads it.
#[test]
fn every_record_is_read_as_dump_acct_reads_it_and_signals_are_told_where_it_tells_none() {
    let place = Place::new();
    let file = place.path("pacct");
    fs::write(&file, "").unwrap();
    let script = format!(
        "accton {} >/dev/null\n\
         i=0; while [ $i -lt 256 ]; do sh -c \"exit $i\"; i=$((i + 1)); done\n\
         for s in HUP INT QUIT ILL ABRT FPE KILL SEGV PIPE ALRM TERM USR1; do sh -c \"ulimit -c 0; kill -$s \\$\\$\"; done\n\
         cd {}; sh -c \"ulimit -c unlimited; kill -ABRT \\$\\$\"\n\
         (:) ; (exit 7)\n\
         cp /bin/true {}/a-name-of-more-than-sixteen-bytes; {}/a-name-of-more-than-sixteen-bytes\n\
         sleep 0.3; setpriv --reuid 65001 --clear-groups true\n\
         accton >/dev/null || :\n",
        file.display(),
        place.0.display(),
        place.0.display(),
        place.0.display(),
    );
    let made = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mut records = Vec::new();
    let mut decoder = Decoder::default();
    decoder.feed(&fs::read(&file).unwrap(), |_, record| records.push(record));
    decoder.finish(|_, record| records.push(record));
    assert_eq!(decoder.passed_over, 0);
    let dumped = run("dump-acct", &[file.to_str().unwrap()]);
    let lines: Vec<&str> = dumped.lines().collect();
    assert!(270 < lines.len() && lines.len() == records.len(), "{} and {}", lines.len(), records.len());
    let mut signals = 0;
    for (line, record) in lines.iter().zip(&records) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [comm, version, user, system, elapsed, uid, gid, memory, _io, pid, ppid, flags, exit, ..] = columns[..]
        else {
            panic!("{line}");
        };
        assert_eq!(comm.as_bytes(), record.name(), "{line}");
        assert_eq!(version, format!("v{}", record.version), "{line}");
        let ticks = |shown: &str| (shown.parse::<f64>().unwrap() * 10.0).round() as u64;
        assert_eq!((ticks(user), ticks(system)), (record.user_ms, record.system_ms), "{line}");
        assert!(ticks(elapsed).abs_diff(record.elapsed_ms) <= 10, "{line}: {}", record.elapsed_ms);
        assert_eq!(memory.parse::<f64>().unwrap() as u64, record.memory_kib, "{line}");
        let ids = [uid, gid, pid, ppid].map(|id| id.parse::<u32>().unwrap());
        assert_eq!(ids, [record.uid, record.gid, record.pid, record.ppid], "{line}");
        for (letter, flag) in [('F', FORKED), ('S', SUPERUSER), ('D', CORE), ('X', SIGNALLED)] {
            assert_eq!(flags.contains(letter), record.has(flag), "{letter} of {line}");
        }
        match record.ended() {
            Ended::Exited(status) => assert_eq!(exit.parse::<u8>().unwrap(), status, "{line}"),
            // dump-acct prints 0, as if it had succeeded; the record holds the signal.
            Ended::Killed { signal, .. } => {
                assert!(exit == "0" && record.has(SIGNALLED) && 0 < signal, "{line}");
                signals += 1;
            }
        }
    }
    assert!(12 <= signals, "{signals} signals");
    let with_core = |record: &&AcctRecord| matches!(record.ended(), Ended::Killed { core: true, .. });
    assert_eq!(records.iter().filter(with_core).count(), 1, "cores");
}

/// What a poll of a quiet host brings: a kilobyte, and the records of the processes that the polls themselves began.
#[test]
fn a_read_of_a_quiet_host_is_a_kilobyte_and_the_records_of_our_own_processes() {
    let place = Place::new();
    let file = place.path("pacct");
    // Three rotated ones beside it, as a host of a few weeks has.
    for name in ["pacct", "pacct.1", "pacct.2.gz", "pacct.3.gz"] {
        fs::write(place.path(name), "").unwrap();
    }
    let on = format!("accton {} >/dev/null; exec sleep 1000", file.display());
    let unshared = ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &on];
    let host = Running(Command::new("unshare").args(unshared).spawn().unwrap());
    let deadline = Instant::now() + GUARD;
    let mut first = String::new();
    while first.is_empty() || fs::metadata(&file).unwrap().len() == 0 {
        assert!(Instant::now() < deadline, "its accounting never began");
        first = fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.0.id())).unwrap();
    }
    let mut cursor = (AcctCursor::default(), AcctMemory::default());
    let mut poll = || {
        let parameters = cursor.0.parameters(&cursor.1, file.to_str());
        let nonce = Nonce::new(7);
        let script = compose(&nonce, &[Section { script: accounting::SCRIPT, parameters }]);
        let inside = ["--pid", "--mount", "--target", first.trim(), "/bin/sh"];
        let mut shell =
            Command::new("nsenter").args(inside).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        let answers = split(&output.stdout, &nonce, 1);
        let answer = answers.sections[0].as_ref().unwrap_or_else(|| panic!("{}", text(&output.stdout)));
        let reading = accounting::parse(answer, &mut cursor.0, &mut cursor.1, i64::from(now_s())).unwrap();
        (output.stdout.len(), (reading.own + reading.others) as usize, reading.behind_bytes)
    };
    // Until everything that was there before has been read.
    let mut newest = poll();
    while newest.1 == 0 || newest.2 != 0 {
        assert!(Instant::now() < deadline, "its accounting was never caught up with");
        newest = poll();
    }
    let (bytes, records, _) = poll();
    assert!(0 < records && bytes <= 1_024 + 64 * records, "{bytes} bytes, {records} records");
}
