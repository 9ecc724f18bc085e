//! The audit's file on a disk that fails, under somebody's hex editor, and with its writers killed in the middle.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use dogwatch::adapters::audit::reader::AuditReader;
use dogwatch::adapters::audit::store::AuditStore;
use dogwatch::adapters::audit::{database_in, own_actor};
use dogwatch::domain::audit::record::Event;

use crate::audit::{fails, record, succeeds};
use crate::central::Rsyslog;
use crate::support::*;

fn any_number(below: usize) -> usize {
    (dogwatch::adapters::clock::random_u128() % below as u128) as usize
}

/// Every record's bytes, or nothing where the file is no store any more; and whether the chain is whole.
async fn seen(state: &std::path::Path) -> (Option<Vec<Vec<u8>>>, bool) {
    let Ok(reader) = AuditReader::open(&database_in(state)).await else { return (None, false) };
    let verified = async {
        reader.check_file().await.ok()?;
        for writer in reader.writers().await.ok()? {
            reader.verify(&writer, Vec::new()).await.ok()?.ok()?;
        }
        Some(())
    };
    let is_whole = verified.await.is_some();
    let all = async {
        let (mut bodies, mut seq) = (Vec::new(), 0);
        loop {
            let rows = reader.after(seq).await.ok()?;
            let Some(last) = rows.last() else { return Some(bodies) };
            seq = last.seq;
            bodies.extend(rows.into_iter().map(|row| row.stored.body));
        }
    };
    let bodies = all.await;
    reader.close().await;
    (bodies, is_whole)
}

/// The name of a store's first writer, as its records have it.
fn writer_in(file: &[u8]) -> Vec<u8> {
    let before = b"\"id\":\"";
    let at = file.windows(before.len()).position(|part| part == before).unwrap() + before.len();
    file[at..].split(|byte| *byte == b'-').next().unwrap().to_vec()
}

/// Places of a file and a bit of each: of the statements that made its tables, whose every word decides how rows are read,
/// and of the whole. The same ones each time, but for the long mode.
fn some_flips(file: &[u8]) -> Vec<(usize, usize)> {
    let of_schema = file.windows(13).position(|part| part == b"CREATE TABLE ").unwrap();
    let page = of_schema / 4_096 * 4_096;
    let near = (of_schema - 20..page + 4_096).step_by(7).map(|at| (at, at % 8));
    let anywhere = (0..rounds(200, 20_000)).map(|round| match rounds(0, 1) {
        0 => (round * (file.len() / 200), round % 8),
        _ => (any_number(file.len()), any_number(8)),
    });
    // A letter of which a bit 7 turns is none of any text.
    let high = (of_schema..of_schema + 120).map(|at| (at, 7));
    near.chain(high).chain(anywhere).collect()
}

/// Whatever bit of the file turns, either every record is as it was, or somebody is told.
#[test]
fn a_flipped_bit_anywhere_in_the_file_changes_no_record_unseen() {
    let place = Place::new();
    record(&place, 40);
    let state = place.path("state");
    let file = database_in(&state);
    let good = fs::read(&file).unwrap();
    wait(async {
        let (records, is_whole) = seen(&state).await;
        assert!(is_whole && records.as_ref().is_some_and(|records| records.len() == 41));
        let mut told = 0;
        // The name of a record's writer stands in the table and in its index: a flip in the one alone is seen as well.
        let name = writer_in(&good);
        for at in (0..good.len() - name.len()).filter(|at| good[*at..].starts_with(&name)) {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            fs::write(&file, &bad).unwrap();
            let (now, is_whole) = seen(&state).await;
            assert!(!is_whole || now == records, "byte {at} of a name changed a record unseen");
        }
        for (at, bit) in some_flips(&good) {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&file, &bad).unwrap();
            let (now, is_whole) = seen(&state).await;
            told += u32::from(!is_whole);
            assert!(!is_whole || now == records, "bit {bit} of byte {at} changed a record unseen");
        }
        assert!(0 < told, "no flip hit anything");
    });
}

/// The file system believes that it has room; the disk below it has none.
#[test]
fn a_record_whose_bytes_do_not_reach_the_disk_is_none() {
    let place = Place::new();
    let disk = place.mount_tmpfs("disk", "size=12m");
    let image = disk.join("image");
    run("truncate", &["-s", "40M", image.to_str().unwrap()]);
    run("mkfs.ext4", &["-q", "-J", "size=4", image.to_str().unwrap()]);
    let state = place.path("state");
    fs::create_dir(&state).unwrap();
    run("mount", &["-o", "loop", image.to_str().unwrap(), state.to_str().unwrap()]);
    let acknowledged = wait(async {
        let store = AuditStore::open(&state, own_actor(), 1_000).await.unwrap();
        let mut acknowledged = 0_usize;
        let refused = loop {
            let reason = "x".repeat(3_000).as_str().into();
            match store.append(Event::Frozen { reason }, 2_000 + acknowledged as i64).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error.to_string(),
            }
            assert!(acknowledged < 20_000, "a disk without room took everything");
        };
        assert!(refused.contains("audit.db"), "{refused}");
        store.close().await;
        acknowledged
    });
    // What the disk itself has, and not what the kernel remembers of it.
    run("umount", &[state.to_str().unwrap()]);
    run("mount", &["-o", "loop", image.to_str().unwrap(), state.to_str().unwrap()]);
    let (records, is_whole) = wait(seen(&state));
    let found = records.map(|records| records.len());
    assert!(is_whole && found.is_some_and(|found| acknowledged < found), "of {acknowledged}: {found:?}, {is_whole}");
    run("umount", &[state.to_str().unwrap()]);
}

/// What was acknowledged before the writer was killed is there, and the chain is whole.
#[test]
fn killed_in_the_middle_of_appending_no_acknowledged_record_is_lost() {
    let place = Place::new();
    record(&place, 0);
    fs::set_permissions(place.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let hosts = place.write("hosts.toml", "[host.me]\nlocal = true\n");
    let files = format!("--hosts {} --state {}", hosts.display(), place.path("state").display());
    let mut acknowledged = Vec::new();
    for round in 0..rounds(5, 1_000) {
        let program = env!("CARGO_BIN_EXE_dogwatch");
        let script = format!(
            "i=0; while :; do i=$((i + 1)); {program} action freeze round {round} number $i {files} || exit; done"
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At least one, and then some moment within the next.
        acknowledged.push(lines.next().unwrap().unwrap());
        let until = Instant::now() + std::time::Duration::from_micros(any_number(60_000) as u64);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        run("kill", &["-9", "--", &format!("-{}", child.id())]);
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok));
    }
    let log = succeeds(&place, &["log", "--json"]);
    for line in acknowledged {
        let words = line.split("round ").nth(1).unwrap().split(" (local").next().unwrap();
        assert!(log.contains(&format!("round {words}\"")), "lost: {line}");
    }
    succeeds(&place, &["verify"]);
}

/// A day at ten records a second in the long mode.
#[test]
fn a_long_outage_of_the_central_log_loses_nothing_and_keeps_the_order() {
    let mut central = Rsyslog::over_tls();
    let place = Place::new();
    central.stop();
    let count = rounds(3_000, 864_000);
    record(&place, count);
    place.write("policy.toml", &central.policy().replace("[central_log]", "[central_log]\nspool_max = 1000000"));
    let said = fails(&place, &["send"]);
    assert!(said.contains("wait"), "{said}");
    central.start();
    succeeds(&place, &["send"]);
    central.stop();
    let numbers: Vec<usize> = central
        .lines()
        .iter()
        .filter_map(|line| line.split("line two of ").nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .collect();
    assert_eq!(numbers.len(), count);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "out of order");
}
