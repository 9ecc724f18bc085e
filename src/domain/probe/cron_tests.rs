use chrono::Datelike;

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap_or_else(|error| panic!("{error}"))
}

fn read(tables: &str, timers: &str, shown: &str, log: &str) -> CronReading {
    let parts = [tables, timers, shown, log].iter().map(|part| part.as_bytes()).collect();
    parse(&Answer { body: b"", parts, status: 0 }, now()).unwrap_or_else(|error| panic!("{error}"))
}

fn entries(tables: &str) -> Vec<String> {
    let show = |entry: &CronEntry| {
        let user = entry.user.as_ref().map(|user| user.as_str()).unwrap_or("-");
        let next = entry.next.map_or("-".to_owned(), |next| next.format("%dT%H:%M").to_string());
        format!("{user} | {} | {} | {next}", entry.schedule, entry.command)
    };
    read(tables, "", "", "").entries.iter().map(show).collect()
}

fn runs(log: &str) -> Vec<String> {
    let show = |run: &CronRun| {
        format!("{} {} {} {} {:?}", run.at.format("%m-%dT%H:%M:%S"), run.user, run.pid, run.command, run.failed_with)
    };
    read("z ../usr/share/zoneinfo/Europe/Berlin\n", "", "", &format!("e x\n{log}")).runs.iter().map(show).collect()
}

#[test]
fn system_tables_name_a_user_and_user_tables_are_named_after_one() {
    let tables = "z /usr/share/zoneinfo/Europe/Berlin\nt system /etc/crontab\nl SHELL=/bin/sh\nl 30 4 * * *\troot  /usr/bin/transfer --all\n\
                  t user /var/spool/cron/crontabs/op\nl @daily backup %\n";
    assert_eq!(
        entries(tables),
        ["root | 30 4 * * * | /usr/bin/transfer --all | 22T03:30", "op | @daily | backup % | 21T23:00"]
    );
}

#[test]
fn a_line_that_is_no_job_is_none() {
    assert_eq!(
        entries("t system /etc/crontab\nl 30 4\nl MAILTO=\"\"\nl 99 99 * * * root x\n"),
        ["root | 99 99 * * * | x | -"]
    );
}

#[test]
fn all_three_forms_of_time_are_read() {
    let log = "1795235401.5 h CRON[77]: (root) CMD (a)\n2026-11-21T04:30:01.123+01:00 h CRON[78]: (root) CMD (b)\n\
               Nov 21 04:30:01 h CRON[79]: (op) CMD (c)\n";
    assert_eq!(
        runs(log),
        ["11-21T04:30:01 root 77 a None", "11-21T03:30:01 root 78 b None", "11-21T03:30:01 op 79 c None"]
    );
}

#[test]
fn a_december_line_read_in_november_is_last_years() {
    let reading = read("", "", "", "e x\nDec 24 04:30:01 h CRON[1]: (r) CMD (x)\n");
    assert_eq!(reading.runs[0].at.year(), 2025);
}

#[test]
fn the_log_s_own_file_and_the_older_ones_are_no_lines_of_it() {
    let log = "e /var/log/cron.log\ni 77 9000\ni 78 12\ni x\nNov 21 04:30:01 h CRON[1]: (r) CMD (x)\n";
    let reading = read("", "", "", log);
    let files: Vec<(u64, u64)> = reading.log_files.iter().map(|file| (file.inode, file.size_bytes)).collect();
    assert_eq!((files, reading.runs.len()), (vec![(77, 9_000), (78, 12)], 1));
}

#[test]
fn a_failure_told_at_a_higher_log_level_is_joined_by_the_childs_pid() {
    let log = "1795235401.5 h CRON[77]: (root) CMD ([78] job)\n1795235402.5 h CRON[77]: (CRON) error (grandchild #78 failed with exit status 3)\n";
    assert_eq!(runs(log), ["11-21T04:30:01 root 78 job Some(3)"]);
}

#[test]
fn busybox_crond_is_read() {
    assert_eq!(
        runs("Nov 21 04:30:01 h crond[9]: USER root pid 123 cmd job a\n"),
        ["11-21T03:30:01 root 123 job a None"]
    );
}

/// Debian's cron 3.0pl1-162, after a table with a bad line was written and then mended.
#[test]
fn a_table_that_cron_refuses_and_loads_again_is_told_with_its_file() {
    let log = "Nov 21 04:30:01 h cron[9]: Error: bad minute; while reading /etc/cron.d/jobs\n\
               Nov 21 04:30:01 h cron[9]: (*system*jobs) ERROR (Syntax error, this crontab file will be ignored)\n\
               Nov 21 04:31:01 h cron[9]: (*system*jobs) RELOAD (/etc/cron.d/jobs)\n";
    let loads = read("", "", "", &format!("e x\n{log}")).loads;
    let told: Vec<(&str, Option<&str>)> =
        loads.iter().map(|load| (load.file.as_str(), load.refused.as_ref().map(|why| why.as_str()))).collect();
    assert_eq!(told, [("/etc/cron.d/jobs", Some("bad minute")), ("/etc/cron.d/jobs", None)]);
}

/// `busybox syslogd -n` with `busybox crond -f -l 5 -S`, BusyBox 1.35.0 of Debian 12: the facility stands before the name.
#[test]
fn busybox_crond_is_read_as_its_own_syslogd_writes_it() {
    let log = "Nov 21 04:29:59 vm cron.info crond[22]: crond (busybox 1.35.0) started, log level 5\n\
               Nov 21 04:30:00 vm cron.info crond[22]: USER root pid  24 cmd echo hi; exit 3\n";
    assert_eq!(runs(log), ["11-21T03:30:00 root 24 echo hi; exit 3 None"]);
}

/// cronie 1.7 (src/do_command.c): the line is written by the process that becomes the job's shell, and CMDEND by its parent.
#[test]
fn cronie_is_read_and_its_end_is_no_run() {
    let log = "Nov 21 04:30:01 h CROND[25198]: (root) CMD (run-parts /etc/cron.hourly)\n\
               Nov 21 04:30:09 h CROND[25190]: (root) CMDEND (run-parts /etc/cron.hourly)\n";
    assert_eq!(runs(log), ["11-21T03:30:01 root 25198 run-parts /etc/cron.hourly None"]);
}

#[test]
fn timers_tell_next_last_and_result() {
    let json = r#"[{"next":1795262400000000,"left":0,"last":0,"passed":0,"unit":"x.timer","activates":"x.service"}]"#;
    let reading = read("", json, "Id=x.service\nResult=exit-code\nExecMainStatus=3\n", "");
    let timer = &reading.entries[0];
    assert_eq!(
        timer.unit.as_ref().and_then(|unit| unit.result.as_ref()).map(|result| result.as_str()),
        Some("exit-code")
    );
    assert!(timer.next.is_some() && timer.last.is_none());
}

proptest::proptest! {
    #[test]
    fn no_output_makes_the_parser_panic(tables in "(?s).{0,200}", log in "(?s).{0,200}") {
        let parts = vec![tables.as_bytes(), b"", b"", log.as_bytes()];
        let _ = parse(&Answer { body: b"", parts, status: 0 }, now());
    }
}
