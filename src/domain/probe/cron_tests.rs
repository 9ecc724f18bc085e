use chrono::Datelike;

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap_or_else(|error| panic!("{error}"))
}

fn read(tables: &str, timers: &str, shown: &str, log: &str) -> CronReading {
    let parts = [tables, timers, shown, log].iter().map(|part| part.as_bytes()).collect();
    parse(&Answer { body: b"", parts, status: 0 }, now(), None).unwrap_or_else(|error| panic!("{error}"))
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
    let log =
        "e /var/log/cron.log\no 78 12 1795235999\no x\ni 77 9000 1795235999\nNov 21 04:30:01 h CRON[1]: (r) CMD (x)\n";
    let reading = read("", "", "", log);
    let files: Vec<(u64, u64)> = reading.logs[0].files.iter().map(|file| (file.inode, file.size_bytes)).collect();
    assert_eq!((files, reading.runs.len()), (vec![(77, 9_000), (78, 12)], 1));
}

#[test]
fn a_failure_told_at_a_higher_log_level_is_joined_by_the_childs_pid() {
    let log = "1795235401.5 h CRON[77]: (root) CMD ([78] job)\n1795235402.5 h CRON[77]: (CRON) error (grandchild #78 failed with exit status 3)\n";
    assert_eq!(runs(log), ["11-21T04:30:01 root 78 job Some(3)"]);
}

/// What a file was left with when its daemon went tells nothing of now, and of one line that two logs have nothing twice.
#[test]
fn of_several_logs_the_one_that_told_last_tells_and_no_run_counts_twice() {
    let old = "e /var/log/syslog\ni 7 90 1795235999\nNov 12 04:30:01 h CRON[77]: (root) CMD (a)\n";
    let file = "e /var/log/cron.log\ni 8 90 1795235999\nNov 21 04:30:01 h CRON[78]: (root) CMD (b)\n";
    let journal = "e journal\n1795235402.5 h CRON[78]: (root) CMD (b)\n1795246201.5 h CRON[79]: (root) CMD (c)\n";
    let told = |log: &str| {
        let reading = read("", "", "", log);
        let pids: Vec<u32> = reading.runs.iter().map(|run| run.pid).collect();
        let from = reading.covers_from.map(|at| at.format("%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
        (reading.evidence.map_or(String::new(), |source| source.to_string()), from, pids, reading.logs.len())
    };
    let expected = ("journal".to_owned(), "11-21T04:30:02".to_owned(), vec![77, 78, 79], 2);
    assert_eq!(told(&format!("{old}{file}{journal}")), expected);
    // Of two that tell of the same the file comes first.
    let same = "e journal\n1795235402.5 h CRON[78]: (root) CMD (b)\n";
    let expected = ("/var/log/cron.log".to_owned(), "11-21T04:30:01".to_owned(), vec![78], 1);
    assert_eq!(told(&format!("{file}{same}")), expected);
    // One without a line of cron's is none that tells.
    let quiet = "e /var/log/messages\ni 9 90 1795235999\n";
    assert_eq!(told(&format!("{quiet}{file}")).0, "/var/log/cron.log");
    assert_eq!(told(quiet), ("/var/log/messages".to_owned(), String::new(), Vec::new(), 1));
}

/// 02:30 comes twice on 25 October in Berlin.
#[test]
fn the_hour_that_comes_twice_is_told_apart_by_the_lines_before() {
    let log = "Oct 25 02:30:01 h CRON[1]: (r) CMD (x)\nOct 25 02:55:01 h CRON[2]: (r) CMD (x)\n\
               Oct 25 02:30:01 h CRON[3]: (r) CMD (x)\nOct 25 02:55:01 h CRON[4]: (r) CMD (x)\n\
               Oct 25 03:00:01 h CRON[5]: (r) CMD (x)\n";
    let at = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let first = format!("Oct 25 01:59:01 h CRON[9]: (r) CMD (x)\n{log}");
    let told: Vec<String> = runs(&first).iter().skip(1).map(|line| at(line)).collect();
    let expected =
        ["10-25T00:30:01", "10-25T00:55:01", "10-25T01:30:01", "10-25T01:55:01", "10-25T02:00:01"].map(str::to_owned);
    assert_eq!(told, expected);
    // Look after look, as it goes: what was read is read again, and one that is new is of now.
    let mut cursor = CronLogCursor::default();
    let mut look = |pids: &[u32], now: &str, is_first: bool| {
        let line = |pid: &u32| format!("Oct 25 02:17:01 h CRON[{pid}]: (r) CMD (x)\n");
        let log = format!("e x\n{}", pids.iter().map(line).collect::<String>());
        let parts = vec![b"z zoneinfo/Europe/Berlin\n".as_slice(), b"", b"", log.as_bytes()];
        let now: DateTime<Utc> = now.parse().unwrap_or_default();
        let known = (!is_first).then_some(&cursor);
        let reading = parse(&Answer { body: b"", parts, status: 0 }, now, known).unwrap_or_default();
        cursor.take(&reading, crate::domain::time::Moment { utc_ms: now.timestamp_millis(), boot_ms: 0, origin: 1 });
        reading.runs.iter().map(|run| run.at.format("%H:%M").to_string()).collect::<Vec<String>>()
    };
    assert_eq!(look(&[], "2026-10-25T00:16:00Z", true), [""; 0]);
    assert_eq!(look(&[7], "2026-10-25T00:17:30Z", false), ["00:17"]);
    assert_eq!(look(&[7], "2026-10-25T01:16:30Z", false), ["00:17"]);
    assert_eq!(look(&[7, 8], "2026-10-25T01:17:30Z", false), ["00:17", "01:17"]);
    assert_eq!(look(&[7, 8], "2026-10-25T02:20:00Z", false), ["00:17", "01:17"]);
}

#[test]
fn a_failure_whose_run_is_in_no_line_of_this_look_is_told_by_itself() {
    let log = "e x\n1795235402.5 h CRON[77]: (CRON) error (grandchild #78 failed with exit status 3)\ng\n";
    let reading = read("", "", "", log);
    let told: Vec<(u32, i32)> = reading.failures.iter().map(|failure| (failure.pid, failure.status)).collect();
    assert_eq!((told, reading.gap), (vec![(78, 3)], Some(LogGap { from: reading.told_to, to: None })));
}

/// What is missing stands between the last line before it and the first after it, whatever is read again before.
#[test]
fn a_gap_is_where_it_stands_and_a_journal_that_was_cut_begins_with_one() {
    let gap = |log: &str| {
        let gap = read("", "", "", log).gap?;
        let shown = |at: Option<DateTime<Utc>>| at.map_or("-".to_owned(), |at| at.format("%H:%M").to_string());
        Some(format!("{} to {}", shown(gap.from), shown(gap.to)))
    };
    let line = |time: &str| format!("Nov 21 {time}:01 h CRON[1]: (r) CMD (x)\n");
    let (older, own) = ("e /var/log/syslog\no 7 90 1795235999\n", "i 8 90 1795262399\n");
    let log = |middle: &str| format!("{older}{}{own}{middle}{}", line("01:00"), line("09:00"));
    assert_eq!((gap(&log("")), gap(&log("g\n")).as_deref()), (None, Some("01:00 to 09:00")));
    assert_eq!(gap(&format!("{older}{own}g\n{}", line("09:00"))).as_deref(), Some("- to 09:00"));
    let journal: String = (0..3_000).map(|second| format!("{}.5 h CRON[7]: x\n", 1_795_230_000 + second)).collect();
    assert_eq!(gap(&format!("e journal\n{journal}")).as_deref(), Some("- to 03:00"));
}

/// The line that is missing may be of any log where none of them has one.
#[test]
fn a_gap_of_logs_without_a_line_and_runs_that_were_left_out_are_told() {
    let quiet = "e /var/log/cron.log\ni 7 0 1795235999\ne /var/log/syslog\ni 8 90 1795235999\ng\n";
    assert_eq!(read("", "", "", quiet).gap, Some(LogGap::default()));
    let line = |second: usize| format!("{}.5 h CRON[{second}]: (r) CMD (x)\n", 1_795_230_000 + second);
    let reading = read("", "", "", &format!("e x\n{}", (0..RUNS_MAX + 5).map(line).collect::<String>()));
    let first = DateTime::from_timestamp(1_795_230_005, 0);
    assert_eq!((reading.covers_from, reading.gap), (first, Some(LogGap { from: None, to: first })));
}

/// No line was written later than its file: one of last year's same day is of last year.
#[test]
fn a_line_of_a_file_that_was_written_a_year_ago_is_of_that_year() {
    let log = "e /var/log/syslog\ni 7 90 1763785801\nNov 22 04:30:01 h CRON[1]: (r) CMD (x)\n";
    assert_eq!(read("", "", "", log).runs[0].at.to_string(), "2025-11-22 04:30:01 UTC");
}

#[test]
fn what_a_job_wrote_is_no_run() {
    let written = "Nov 21 04:30:01 h CROND[9]: (bob) CMDOUT (so it says: (root) CMD (transfer))\n";
    assert!(runs(written).is_empty());
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
        let _ = parse(&Answer { body: b"", parts, status: 0 }, now(), None);
    }
}
