//! Checks on real file systems and logs.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::*;

fn own(more: &str) -> String {
    format!("{FAST}{more}\n[host.me]\nlocal = true\n")
}

#[test]
fn a_small_ext4_at_ninety_five_percent_is_critical() {
    let place = Place::new();
    let image = place.path("image");
    fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-m", "0", image.to_str().unwrap()]);
    let mount = place.path("small");
    fs::create_dir(&mount).unwrap();
    run("mount", &["-o", "loop", image.to_str().unwrap(), mount.to_str().unwrap()]);
    let free: u64 = run("stat", &["-f", "-c", "%a", mount.to_str().unwrap()]).trim().parse().unwrap();
    let block: u64 = run("stat", &["-f", "-c", "%S", mount.to_str().unwrap()]).trim().parse().unwrap();
    fs::write(mount.join("fill"), vec![1; usize::try_from(free * block * 96 / 100).unwrap()]).unwrap();
    let mut watch = Watch::start(&place, &own(""));
    let id = format!("disk.space:{}", mount.display());
    watch
        .until("it is critical", |board| check_line(board, "me", &id).is_some_and(|line| line.starts_with("CRITICAL")));
    watch.stop();
    run("umount", &[mount.to_str().unwrap()]);
}

#[test]
fn a_tmpfs_remounted_read_only_is_critical_and_writable_again_is_ok() {
    let place = Place::new();
    let mount = place.mount_tmpfs("m", "size=1m");
    let mut watch = Watch::start(&place, &own(""));
    let id = format!("disk.readonly:{}", mount.display());
    let starts = |word: &'static str, id: String| {
        move |board: &dogwatch::domain::board::Board| {
            check_line(board, "me", &id).is_some_and(|line| line.starts_with(word))
        }
    };
    watch.until("it is writable", starts("OK", id.clone()));
    run("mount", &["-o", "remount,ro", mount.to_str().unwrap()]);
    watch.until("it is critical", starts("CRITICAL", id.clone()));
    run("mount", &["-o", "remount,rw", mount.to_str().unwrap()]);
    watch.until("it is writable again", starts("OK", id));
}

#[test]
fn a_file_system_that_vanishes_is_told_and_not_forgotten() {
    let place = Place::new();
    let mount = place.mount_tmpfs("m", "size=1m");
    let mut watch = Watch::start(&place, &own(""));
    let id = format!("disk.space:{}", mount.display());
    watch.until("it is there", |board| check_line(board, "me", &id).is_some());
    run("umount", &[mount.to_str().unwrap()]);
    watch.until("it is missed", |board| {
        check_line(board, "me", &id).is_some_and(|line| line.starts_with("UNKNOWN") && line.contains("no longer there"))
    });
}

#[test]
fn a_hung_fuse_mount_delays_its_own_cell_alone_and_is_never_asked_twice() {
    let place = Place::new();
    let mount = place.path("hung");
    fs::create_dir(&mount).unwrap();
    // A FUSE file system whose server never answers.
    let mut holder = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!(
            "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung '{}' && echo mounted && exec sleep 600",
            mount.display()
        ))
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let said = Lines::of(holder.stdout.take().unwrap());
    let holder = Running(holder);
    said.wait_for("mounted");
    let mut watch = Watch::start(&place, &own("slow_deadline = '1s'"));
    let id = format!("disk.space:{}", mount.display());
    watch.until("the cell says that it waits", |board| {
        check_line(board, "me", &id).is_some_and(|line| line.starts_with("UNKNOWN"))
            && board.hosts["me"].views(dogwatch::adapters::clock::now()).any(|view| view.stuck_since.is_some())
    });
    watch.polls("me", 5);
    let fresh = check_line(&watch.board, "me", "host.load").unwrap();
    assert!(fresh.contains("Fresh"), "{fresh}");
    watch.stop();
    drop(holder);
    let _ = Command::new("umount").args(["-l", mount.to_str().unwrap()]).status();
}

#[test]
fn hostile_bytes_in_a_log_are_shown_visibly_and_pass_nowhere_raw() {
    let place = Place::new();
    let log = place.write("app.log", "start\n");
    let hosts = place.write("hosts.toml", &own(&format!("logs = ['{}']", log.display())));
    let mut watch = Watch::start(&place, &fs::read_to_string(&hosts).unwrap());
    watch.until("the log was seen once", |board| {
        check_line(board, "me", &format!("log.growth:{}", log.display())).is_some()
    });
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all("I/O error \x1b]52;c;aGk=\x07\x1b[31m\r\u{202e}evil\n".as_bytes()).unwrap();
    let id = format!("log.rate:io-error:{}", log.display());
    watch.until("the line was counted", |board| {
        check_line(board, "me", &id).is_some_and(|line| line.contains("newest"))
    });
    let line = check_line(&watch.board, "me", &id).unwrap();
    assert!(line.contains("␛]52;c;aGk=␇␛[31m␍⟨202E⟩evil"), "{line}");
    watch.stop();
    let output = dogwatch(&place, &["check", "--json", "--hosts", hosts.to_str().unwrap()]);
    let raw = [b"\x1b".as_slice(), b"\r", b"\x07", "\u{202e}".as_bytes()];
    assert!(raw.iter().all(|raw| !output.stdout.windows(raw.len()).any(|window| window == *raw)));
}

#[test]
fn a_log_is_followed_through_a_rotation_without_losing_a_line() {
    let place = Place::new();
    let log = place.write("app.log", "start\n");
    let mut watch = Watch::start(
        &place,
        &own(&format!("logs = ['{}']\n[defaults.rule.mark]\npattern = 'mark'\nwarning = 1000", log.display())),
    );
    let id = format!("log.rate:mark:{}", log.display());
    watch.until("a first poll", |board| check_line(board, "me", &id).is_some());
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"mark 1\nmark 2\n").unwrap();
    fs::rename(&log, place.path("app.log.1")).unwrap();
    file.write_all(b"mark 3\n").unwrap();
    fs::write(&log, "mark 4\n").unwrap();
    watch.until("all four", |board| check_line(board, "me", &id).is_some_and(|line| line.contains(" 4 mark in 5 min")));
    let shrunk = check_line(&watch.board, "me", &format!("log.shrunk:{}", log.display())).unwrap();
    assert!(shrunk.starts_with("OK"), "{shrunk}");
}

#[test]
fn a_log_cleared_by_hand_is_told() {
    let place = Place::new();
    let log = place.write("app.log", &"x".repeat(5_000));
    let mut watch = Watch::start(&place, &own(&format!("logs = ['{}']", log.display())));
    let id = format!("log.shrunk:{}", log.display());
    watch.until("two polls", |board| check_line(board, "me", &id).is_some_and(|line| line.starts_with("OK")));
    fs::write(&log, "").unwrap();
    watch.until("the shrink is told", |board| {
        check_line(board, "me", &id)
            .is_some_and(|line| line.starts_with("WARNING") && line.contains("shrank from 5.0 kB to 0 B"))
    });
}

#[test]
fn restic_and_borg_sets_are_read_without_a_trace() {
    let place = Place::new();
    let (restic, borg) = (place.path("restic"), place.path("borg"));
    let password = place.write("password", "secret\n");
    let home = place.path("home");
    fs::create_dir(&home).unwrap();
    let tool = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .env("HOME", &home)
            .env("RESTIC_PASSWORD_FILE", &password)
            .env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", text(&output.stderr));
    };
    tool("restic", &["-r", restic.to_str().unwrap(), "init"]);
    tool("restic", &["-r", restic.to_str().unwrap(), "backup", "/etc/hostname"]);
    tool("borg", &["init", "-e", "none", borg.to_str().unwrap()]);
    tool("borg", &["create", &format!("{}::first", borg.display()), "/etc/hostname"]);
    let hosts = format!(
        "{FAST}[host.me]\nlocal = true\n[host.me.backup.r]\nkind = 'restic'\nrepository = '{}'\npassword_file = '{}'\n\
         [host.me.backup.b]\nkind = 'borg'\nrepository = '{}'\n",
        restic.display(),
        password.display(),
        borg.display()
    );
    let caches = || {
        run(
            "find",
            &["/root/.cache", "/root/.config", "-maxdepth", "1", "(", "-name", "borg", "-o", "-name", "restic", ")"],
        )
    };
    fs::create_dir_all("/root/.cache").unwrap();
    fs::create_dir_all("/root/.config").unwrap();
    let before = caches();
    let mut watch = Watch::start(&place, &hosts);
    watch.until("both are fresh", |board| {
        ["backup.age:r", "backup.age:b"]
            .iter()
            .all(|id| check_line(board, "me", id).is_some_and(|line| line.starts_with("OK")))
    });
    assert_eq!(before, caches());
    let locks = fs::read_dir(restic.join("locks")).unwrap().count();
    assert_eq!(locks, 0);
}

#[test]
fn plain_archives_are_judged_by_the_newest_completed_one() {
    let place = Place::new();
    let directory = place.path("backups");
    fs::create_dir(&directory).unwrap();
    let archive = |name: &str, age: &str| {
        fs::write(directory.join(name), "x".repeat(100)).unwrap();
        run("touch", &["-d", age, directory.join(name).to_str().unwrap()]);
    };
    archive("db-1.gz", "3 days ago");
    archive("db-2.gz.part", "1 hour ago");
    let hosts = format!(
        "{FAST}[host.me]\nlocal = true\n[host.me.backup.db]\nkind = 'files'\npath = '{}'\npattern = 'db-*'\n",
        directory.display()
    );
    let mut watch = Watch::start(&place, &hosts);
    watch.until("the old one is what counts", |board| {
        check_line(board, "me", "backup.age:db")
            .is_some_and(|line| line.starts_with("CRITICAL") && line.contains("3 d old"))
    });
    archive("db-2.gz", "1 hour ago");
    watch.until("a new one mends it", |board| {
        check_line(board, "me", "backup.age:db").is_some_and(|line| line.starts_with("OK"))
    });
}

#[test]
fn a_job_that_cron_logged_ran_and_its_outcome_is_not_claimed() {
    let place = Place::new();
    let minute = run("date", &["+%b %e %H:%M"]);
    let line = format!("{}:01 host CRON[77]: (root) CMD (/opt/transfer.sh)\n", minute.trim());
    fs::write("/var/log/cron.log", line).unwrap();
    let hosts = format!(
        "{FAST}[host.me]\nlocal = true\n[host.me.job.a]\nevery = '1h'\ncommand = 'transfer.sh'\n\
         [host.me.job.b]\nevery = '1h'\ncommand = 'transfer.sh'\naccept = 'ran'\n"
    );
    let mut watch = Watch::start(&place, &hosts);
    watch.until("one is unknown, the other accepted", |board| {
        check_line(board, "me", "cron.job:a")
            .is_some_and(|line| line.starts_with("UNKNOWN") && line.contains("outcome unknown"))
            && check_line(board, "me", "cron.job:b").is_some_and(|line| line.starts_with("OK"))
    });
}

#[test]
fn a_disk_that_fills_steadily_gains_a_forecast_that_comes_true() {
    let place = Place::new();
    let mount = place.mount_tmpfs("filling", "size=100m");
    let more = "[defaults.forecast]\nwindow = '1m'\nabove = 0\n";
    let mut watch = Watch::start(&place, &format!("{FAST}{more}[host.me]\nlocal = true\n"));
    let id = format!("disk.space:{}", mount.display());
    watch.until("it asks for more points", |board| {
        check_line(board, "me", &id).is_some_and(|line| line.contains("not enough data"))
    });
    // One megabyte a poll: 100 polls from empty to full.
    let mut written = 0;
    while !check_line(&watch.board, "me", &id).is_some_and(|line| line.contains("full in")) {
        assert!(written < 60, "{}", watch.show());
        fs::write(mount.join(written.to_string()), vec![0; 1 << 20]).unwrap();
        written += 1;
        watch.polls("me", 1);
    }
    let cell = watch.host("me").checks.iter().find(|(check, _)| check.to_string() == id).unwrap().1;
    let full_at = cell.result.last().full_at.unwrap().timestamp_millis();
    let left_s = (full_at - cell.result.at().utc_ms) as f64 / 1_000.0;
    // At one poll a second and one megabyte a poll, what is left takes as many seconds.
    let expected_s = f64::from(100 - written);
    assert!((left_s - expected_s).abs() < expected_s * 0.2, "{left_s} s seen, {expected_s} s left");
}

#[test]
fn names_that_read_like_commands_or_templates_are_names_and_nothing_else() {
    let place = Place::new();
    let name = "a b;touch pwned;$(touch pwned) `touch pwned` %s %n {{x}} $HOME 'q\" *";
    place.mount_tmpfs(name, "size=1m");
    let log = place.path(name).join(format!("{name}.log"));
    fs::write(&log, "start\n").unwrap();
    let watched = toml::Value::String(log.display().to_string());
    let mut watch = Watch::start(&place, &own(&format!("logs = [{watched}]")));
    let space = format!("disk.space:{}", place.path(name).display());
    watch
        .until("the mount is read", |board| check_line(board, "me", &space).is_some_and(|line| line.starts_with("OK")));
    let growth = format!("log.growth:{}", log.display());
    watch.until("the log is read", |board| check_line(board, "me", &growth).is_some_and(|line| line.starts_with("OK")));
    for directory in
        [place.0.as_path(), &place.path(name), std::path::Path::new("/"), std::path::Path::new("/run/home/root")]
    {
        assert!(!directory.join("pwned").exists(), "{}", directory.display());
    }
}

#[test]
fn a_line_of_ten_megabytes_and_a_million_lines_are_capped_and_the_rest_is_counted() {
    let place = Place::new();
    let log = place.write("app.log", "start\n");
    let rule = "[defaults.rule.mark]\npattern = 'mark'\nwarning = 1000000";
    let mut watch = Watch::start(&place, &own(&format!("logs = ['{}']\n{rule}", log.display())));
    let id = format!("log.rate:mark:{}", log.display());
    watch.until("a first poll", |board| check_line(board, "me", &id).is_some());
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&vec![b'x'; 10_000_000]).unwrap();
    file.write_all("\nmark a line\n".repeat(1_000_000).as_bytes()).unwrap();
    watch.until("what was dropped is told", |board| {
        check_line(board, "me", &id).is_some_and(|line| line.contains("≥ ") && line.contains("dropped 2"))
    });
    let line = check_line(&watch.board, "me", "host.load").unwrap();
    assert!(line.starts_with("OK"), "{line}");
}

#[test]
fn a_directory_that_everybody_may_write_is_told_and_closed_again_is_ok() {
    let place = Place::new();
    let www = place.path("www");
    fs::create_dir_all(www.join("uploads")).unwrap();
    fs::set_permissions(www.join("uploads"), fs::Permissions::from_mode(0o777)).unwrap();
    // As /tmp is: whoever may write there can't touch what is another's.
    fs::create_dir(www.join("sticky")).unwrap();
    fs::set_permissions(www.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    std::os::unix::fs::symlink("/tmp", www.join("link")).unwrap();
    let hosts = format!("{FAST}no_world_writable = ['{}']\n[host.me]\nlocal = true\n", www.display());
    let mut watch = Watch::start(&place, &hosts);
    let id = format!("host.world-writable:{}", www.display());
    let told = format!("WARNING {id} {} has mode 777: everybody may write there Fresh", www.join("uploads").display());
    watch.until("the open directory is told", |board| check_line(board, "me", &id).as_ref() == Some(&told));
    fs::set_permissions(www.join("uploads"), fs::Permissions::from_mode(0o755)).unwrap();
    watch.until("it is closed", |board| check_line(board, "me", &id).is_some_and(|line| line.starts_with("OK ")));
}
