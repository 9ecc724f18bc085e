use super::*;
use crate::adapters::audit::database_in;
use crate::adapters::audit::reader::AuditReader;
use crate::domain::action::book::Book;
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::Pane;
use crate::domain::fleet::HostName;
use crate::domain::incident::recurrence::Recurrence;
use crate::domain::status::Status;
use crate::engine::drill_ran::ran_then;
use chrono::{DateTime, Utc};

/// A scenario with what is on its board.
struct Watch {
    drill: Drill,
}

impl Watch {
    fn of(name: &str) -> Self {
        let text = Scenario::built_in(name).unwrap_or_else(|| panic!("no scenario {name}"));
        let (scenario, config) = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        let clock = DrillClock::new(&scenario);
        Self { drill: Drill::new(scenario, &config, Publisher::default(), clock) }
    }

    fn now(&self) -> DateTime<Utc> {
        self.drill.clock.now().utc()
    }

    fn host(&self, name: &str) -> &HostBoard {
        let name = HostName::parse(name).unwrap_or_else(|error| panic!("{error}"));
        self.drill.core.board().hosts.get(&name).unwrap_or_else(|| panic!("no host {name}"))
    }

    fn check(&self, host: &str, id: &str) -> Option<CheckView<'_>> {
        self.host(host).views(self.drill.clock.now()).find(|view| view.id.to_string() == id)
    }

    /// Goes on until then.
    fn until(&mut self, time: &str) -> &mut Self {
        let time = utc(time);
        while self.now() < time && self.drill.step() {}
        assert!(time <= self.now(), "the scenario ends at {} already", self.now());
        self
    }

    /// Goes on until a check is confirmed so, and says when that was, and what was said.
    fn when(&mut self, host: &str, id: &str, status: Status) -> (DateTime<Utc>, String, Option<DateTime<Utc>>) {
        while self.drill.step() {
            if let Some(view) = self.check(host, id).filter(|view| view.confirmed && view.status == status) {
                return (self.now(), view.result.reason.to_string(), view.result.full_at);
            }
        }
        panic!("{id} of {host} was never {status}")
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 16 { format!("{text}:00Z") } else { text.to_owned() };
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// In hours, how far a told deadline is from the true one.
fn hours_off(told: Option<DateTime<Utc>>, truth: &str) -> f64 {
    let told = told.unwrap_or_else(|| panic!("no deadline was told"));
    (told - utc(truth)).num_minutes() as f64 / 60.0
}

/// Every probe that is asked has its bytes, and they can be read; and it takes at most five minutes on the screen.
#[test]
fn every_scenario_says_what_its_hosts_are_asked_and_lasts_five_minutes_at_most() {
    for name in Scenario::names() {
        let mut watch = Watch::of(name);
        let mut steps = 0;
        while watch.drill.step() {
            steps += 1;
            for (host, board) in &watch.drill.core.board().hosts {
                let failing = board.probes.iter().find_map(|(probe, cell)| Some((probe, cell.failing.as_ref()?)));
                assert!(failing.is_none(), "{name}, {host}: {failing:?}");
            }
        }
        assert!(STEP_EVERY * steps <= Duration::from_secs(300), "{name} takes {steps} steps");
    }
}

#[test]
fn the_thursday_backup_is_told_weeks_before_the_disk_is_full() {
    let mut watch = Watch::of("thursday-backup");
    let full = "2026-07-30T04:30";
    let (errors, ..) = watch.when("web1", "log.rate:http-5xx:/var/log/nginx/access.log", Status::Warning);
    assert!(errors <= utc("2026-06-04T06:00"), "{errors}");
    assert_eq!(watch.check("web1", "host.load").map(|view| view.status), Some(Status::Critical));
    let again = |watch: &mut Watch, time: &str| {
        let load = watch.until(time).check("web1", "host.load").and_then(|view| view.episode.cloned());
        let jobs = watch.host("web1").probes.get(&ProbeId::Cron).and_then(|cell| cell.reading.clone());
        let jobs = jobs.map(|reading| reading.last().clone());
        let Some(Reading::Cron(jobs)) = jobs.as_deref() else { panic!("no jobs are known") };
        load.and_then(|episode| Recurrence::of(&episode, Some(jobs))).map(|again| again.words())
    };
    let door = watch.check("web1", "host.world-writable:/var/www").map(|view| view.result.reason.to_string());
    assert!(door.as_ref().is_some_and(|door| door.contains("uploads has mode 777")), "{door:?}");
    let (unpruned, said, _) = watch.when("web1", "backup.retention:weekly-full", Status::Warning);
    assert!(unpruned <= utc("2026-06-18T12:00") && said.contains("does not prune"), "{unpruned}: {said}");
    let suspect = again(&mut watch, "2026-06-25T05:00").unwrap_or_default();
    assert!(
        suspect.contains("4th time, each Thu") && suspect.contains("after /usr/local/sbin/full-backup"),
        "{suspect}"
    );
    let (filling, said, full_at) = watch.when("web1", "disk.space:/", Status::Warning);
    assert!(filling <= utc("2026-07-16T04:30"), "{filling}: {said}");
    assert!(hours_off(full_at, full).abs() < 5.0 * 24.0, "at {filling} the disk is told to be full at {full_at:?}");
    let (broken, ..) = watch.when("web1", "log.rate:http-5xx:/var/log/nginx/access.log", Status::Critical);
    assert!(utc(full) <= broken);
    assert!(watch.until("2026-07-30T08:00").check("web1", "host.units").is_some_and(|view| view.status != Status::Ok));
}

#[test]
fn the_corner_that_nobody_watched_is_seen_at_the_first_look() {
    let mut watch = Watch::of("unwatched-corner");
    watch.until("2026-08-10T06:05");
    let is_critical =
        |id, host| watch.check(host, id).is_some_and(|view| view.confirmed && view.status == Status::Critical);
    assert!(is_critical("disk.space:/var", "ctl1"));
    let reason = watch.check("bak1", "disk.readonly:/backup").map(|view| view.result.reason.to_string());
    assert!(
        reason.as_ref().is_some_and(|reason| reason.as_str().contains("Remounting filesystem read-only")),
        "{reason:?}"
    );
    let age = watch.check("bak1", "backup.age:nightly").map(|view| view.result.reason.to_string());
    assert!(age.as_ref().is_some_and(|age| age.contains("175 d")), "{age:?}");
    let job = watch.check("bak1", "cron.job:nightly-backup").map(|view| (view.status, view.result.reason.to_string()));
    assert!(job.as_ref().is_some_and(|(status, said)| *status == Status::Unknown && said.contains("outcome unknown")));
    for host in ["ctl1", "hv1", "hv2", "vm1", "vm2", "vm3"] {
        assert_eq!(watch.host(host).pane_status(Pane::Backup, watch.drill.clock.now()), None, "{host} has a hole");
    }
    watch.until("2026-08-11T15:05");
    for host in ["hv1", "hv2", "vm1", "vm2", "vm3"] {
        let stale = watch.check(host, "disk.space:/").map(|view| (view.status, view.last_status));
        assert_eq!(stale, Some((Status::Unknown, Status::Ok)), "{host}");
    }
    let behind = |watch: &Watch, name: &str| {
        let name = HostName::parse(name).unwrap_or_else(|error| panic!("{error}"));
        watch.drill.core.board().behind(&name).map(ToString::to_string)
    };
    let told = ["hv1", "vm1", "vm2", "vm3"].map(|name| behind(&watch, name));
    assert_eq!(told, [None, Some("hv1".into()), Some("hv1".into()), Some("hv2".into())]);
    watch.until("2026-08-11T16:35");
    assert_eq!((behind(&watch, "vm2"), behind(&watch, "vm3")), (Some("hv1".into()), None));
    assert!(watch.check("vm3", "disk.readonly:/").is_some_and(|view| view.status == Status::Critical));
    assert!(watch.check("hv2", "disk.space:/").is_some_and(|view| view.status == Status::Ok));
}

#[test]
fn each_filling_of_the_log_disk_is_told_with_its_deadline_hours_before() {
    let mut watch = Watch::of("log-purge");
    let (gone, said, _) = watch.when("api1", "cron.job:log-purge", Status::Unknown);
    assert!(gone <= utc("2026-03-02T10:10") && said.contains("no timer"), "{gone}: {said}");
    for (full, wiped) in [
        ("2026-03-04T04:00", "2026-03-04T08:10"),
        ("2026-03-06T04:00", "2026-03-06T08:10"),
        ("2026-03-08T04:00", "2026-03-08T08:10"),
    ] {
        let (told, _, full_at) = watch.when("api1", "disk.space:/var/log", Status::Critical);
        let hours_left = (utc(full) - told).num_hours();
        assert!(3 <= hours_left, "told at {told}, {hours_left} h before");
        assert!(hours_off(full_at, full).abs() < 1.0, "told to be full at {full_at:?}");
        let shrunk = watch.until(wiped).check("api1", "log.shrunk:/var/log/api/requests.log");
        let shrunk = shrunk.map(|view| (view.status, view.result.reason.to_string()));
        assert!(shrunk.as_ref().is_some_and(|(status, said)| *status == Status::Warning && said.contains("37 GB")));
    }
    // The end: archived and purged with Security's consent, and the timer is on again.
    let is_ok = |watch: &Watch, id: &str| watch.check("api1", id).is_some_and(|view| view.status == Status::Ok);
    watch.until("2026-03-10T04:10");
    assert!(is_ok(&watch, "disk.space:/var/log"), "the purge freed nothing");
    assert_ne!(watch.check("api1", "cron.job:log-purge").map(|view| view.status), Some(Status::Ok));
    watch.until("2026-03-10T06:00");
    assert!(is_ok(&watch, "cron.job:log-purge"), "the timer is not on again");
    assert!(watch.host("api1").views(watch.drill.clock.now()).all(|view| view.rank() <= Status::Warning));
}

/// The request that nobody reads, and what it is for, in the audit of the demo.
#[test]
fn the_unread_request_waits_in_sight_for_a_week_until_the_purge_is_done() {
    let mut watch = Watch::of("log-purge");
    let state = std::env::temp_dir().join(format!("dogwatch-drill-{}", std::process::id()));
    std::fs::create_dir_all(&state).unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let mut told = |time: &str| {
        watch.until(time);
        let now_ms = watch.drill.clock.now().utc_ms;
        let book = runtime.block_on(async {
            watch.drill.put_on_record(&state).await;
            let reader = AuditReader::open(&database_in(&state)).await.unwrap_or_else(|error| panic!("{error}"));
            let mut book = Book::default();
            reader.fold(&mut book, 0).await.unwrap_or_else(|error| panic!("{error}"));
            reader.close().await;
            book
        });
        let waiting = book.requests.values().filter(|request| request.claimed_ms.is_none());
        let age_h = waiting.map(|request| (now_ms - request.created_ms) / 3_600_000).max();
        let done = book.intents.values().filter(|intent| !intent.is_open()).count();
        (age_h, done)
    };
    assert_eq!(told("2026-03-02T12:00"), (Some(1), 0));
    assert_eq!(told("2026-03-09T12:00"), (Some(169), 0));
    assert_eq!(told("2026-03-10T05:00"), (None, 4));
    std::fs::remove_dir_all(&state).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_transfer_that_only_started_is_never_ok_and_accounting_proves_the_night_that_failed() {
    let mut watch = Watch::of("nightly-transfer");
    let job = |watch: &Watch| {
        let view = watch.check("batch1", "cron.job:partner-transfer");
        view.map_or((Status::Unknown, String::new()), |view| (view.status, view.result.reason.to_string()))
    };
    // Before accounting is found nobody knows, whatever cron's log says.
    while watch.now() < utc("2026-04-09T11:50") && watch.drill.step() {
        let (status, told) = job(&watch);
        assert!(status == Status::Unknown && told.contains("outcome unknown"), "at {}: {told}", watch.now());
    }
    watch.until("2026-04-09T12:20");
    let (status, told) = job(&watch);
    assert_eq!(status, Status::Critical, "{told}");
    assert!(told.contains("proven FAILED: exit status 1, took 600 s, usual 45 s: the job's own timeout"), "{told}");
    watch.until("2026-04-10T03:00");
    let (status, told) = job(&watch);
    assert!(status == Status::Ok && told.contains("proven ok, took 45 s, usual 45 s"), "{told}");
    // Asked by the night that failed.
    let host = HostName::parse("batch1").unwrap_or_else(|error| panic!("{error}"));
    let night = (utc("2026-04-09T02:05"), utc("2026-04-09T02:15"));
    let then = ran_then(&watch.drill.scenario, &watch.drill.clock, &host, night).ran.rows;
    let words: Vec<String> =
        then.iter().map(|row| format!("{:?} {} {}", row.took_ms, row.end_words(), row.belongs_to())).collect();
    assert_eq!(words, ["Some(600000) exit 1 /opt/partner/bin/partner-transfer"]);
}

/// What was seen at 15:45 is told before the disk is full.
#[test]
fn the_tampered_script_is_told_with_owner_and_time_hours_before_anybody_looked_at_it() {
    let mut watch = Watch::of("log-copy");
    let id = "host.integrity:/srv/finance/bin/ship-logs.sh";
    let (told, reason, _) = watch.when("fin1", id, Status::Critical);
    assert!(told <= utc("2026-09-15T09:15"), "told at {told}");
    let expected = "its content, a3a3a3a3a3a3 to 5e5e5e5e5e5e, its owner, finance:finance to svc-deploy:users; written 2026-09-15 08:52 UTC";
    assert!(reason.contains(expected), "{reason}");
    watch.until("2026-09-15T16:45");
    let restored = watch.check("fin1", id).map(|view| view.result.reason.to_string()).unwrap_or_default();
    assert!(restored.contains("its content, 5e5e5e5e5e5e to a3a3a3a3a3a3"), "{restored}");
}

#[test]
fn the_stopped_log_copy_is_told_hours_before_payments_stop() {
    let mut watch = Watch::of("log-copy");
    let full = "2026-09-15T13:30";
    let (late, ..) = watch.when("fin1", "backup.age:shipped-logs", Status::Warning);
    assert!(late <= utc("2026-09-15T09:45"), "{late}");
    let (filling, said, full_at) = watch.when("fin1", "disk.space:/srv/finance", Status::Critical);
    assert!(filling <= utc("2026-09-15T12:30"), "{filling}: {said}");
    assert!(hours_off(full_at, full).abs() < 0.25, "told to be full at {full_at:?}");
    let growing = watch.check("fin1", "log.growth:/srv/finance/log/transactions.log");
    assert!(growing.is_some_and(|view| view.result.reason.as_str().contains("alone fills /srv/finance")));
    let (no_space, ..) = watch.when("fin1", "log.rate:no-space:/srv/finance/log/transactions.log", Status::Critical);
    assert!(utc(full) <= no_space && no_space <= utc("2026-09-15T13:35"));
    watch.until("2026-09-15T16:45");
    assert!(watch.check("fin1", "disk.space:/srv/finance").is_some_and(|view| view.status == Status::Ok));
}
