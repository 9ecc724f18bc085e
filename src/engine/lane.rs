//! One lane of one host: connects, polls what is due, backs off, and reports.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::memory::{Cursors, LaneMemory};
use super::plan::{self, Outcomes, Plan, Poll};
use super::shared::{Left, Shared};
use super::tail::{TAIL_EVERY, Tail};
use super::{Run, TICK};
use crate::adapters::clock;
use crate::adapters::transport::ssh::{Secrets, SshLane, target_of};
use crate::adapters::transport::{End, Output, RunLimits, Transport};
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::script::{ALIVE_SCRIPT, PollCost, Section, compose, split};
use crate::domain::probe::{Lane, ProbeId, Reading};
use crate::domain::text::SafeText;
use crate::domain::time::Moment;
use crate::domain::transition::{Link, LinkState};

/// What a lane tells the core.
pub enum Report {
    Link {
        host: HostName,
        lane: Lane,
        link: Link,
    },
    Polled(Polled),
    Stuck {
        host: HostName,
        probe: ProbeId,
        since: Moment,
    },
    Freed {
        host: HostName,
        probe: ProbeId,
    },
    /// The lane polled once, as it was asked, and is gone.
    Ended,
}

/// One finished poll.
pub struct Polled {
    pub host: HostName,
    pub lane: Lane,
    pub sent: Moment,
    pub received: Moment,
    pub outcomes: Outcomes,
    pub cost: Option<PollCost>,
    /// Where reading goes on, if that changed.
    pub cursors: Option<Rc<Cursors>>,
}

impl Polled {
    /// What nobody had to ask a host for.
    pub fn told(host: &HostName, probe: ProbeId, outcome: Result<Reading, SafeText>, at: Moment) -> Self {
        Self {
            host: host.clone(),
            lane: probe.lane(),
            sent: at,
            received: at,
            outcomes: vec![(probe, outcome)],
            cost: None,
            cursors: None,
        }
    }
}

/// What every lane of an engine is given.
#[derive(Clone)]
pub struct LaneContext {
    pub reports: mpsc::Sender<Report>,
    pub shared: Rc<Shared>,
    pub secrets: Secrets,
    pub mode: Run,
    pub now: fn() -> Moment,
}

pub struct LaneTask {
    spec: Rc<HostSpec>,
    lane: Lane,
    plan: Plan,
    memory: LaneMemory,
    transport: Transport,
    context: LaneContext,
    link: Link,
    /// The part of the first interval that is left out, so that a fleet that starts together does not poll together for
    /// ever.
    spread: f64,
    /// What a screen reads on, and when it looks again. On the heap: hardly any lane has one.
    tail: Option<(Box<Tail>, Instant)>,
}

/// The core no longer takes reports: the engine is stopping.
struct CoreGone;

impl LaneTask {
    pub fn new(spec: Rc<HostSpec>, lane: Lane, context: LaneContext) -> Self {
        let transport = match (&spec.reach, target_of(&spec, context.secrets.clone())) {
            (_, Some(target)) => Transport::Ssh(Box::new(SshLane::new(target))),
            (Reach::Replay { directory }, None) => Transport::Replay(directory.clone()),
            (Reach::Local | Reach::Ssh { .. }, None) => Transport::Local,
        };
        // Half of an interval at most: a tick serves the more hosts for each wake-up.
        let spread = (clock::random_u128() % 500) as f64 / 1_000.0;
        let Left { cursors, running } = context.shared.left[lane as usize].borrow().clone();
        let memory = LaneMemory { cursors, running, ..LaneMemory::default() };
        let plan = Plan::new(&spec, lane, Instant::now());
        Self { spec, lane, plan, memory, transport, context, link: Link::default(), spread, tail: None }
    }

    /// Polls until the core is gone; in [`Run::Once`] until each probe was asked once.
    pub async fn run(mut self) {
        let _ = match (self.context.mode, self.lane) {
            (Run::UntilStopped, _) => self.run_on().await,
            (Run::Once, Lane::Fast) => Box::pin(self.poll_due()).await,
            (Run::Once, Lane::Slow) => Box::pin(self.run_slow_once()).await,
        };
        if self.lane == Lane::Fast {
            self.context.shared.name_mounts(None);
        }
        // A core that is gone needs no farewell.
        let _ = self.report(Report::Ended).await;
    }

    async fn run_on(&mut self) -> Result<(), CoreGone> {
        loop {
            let shared = self.context.shared.clone();
            let until_due = until(self.plan.next_due());
            let tail_is_due = until(self.tail.as_ref().map(|(_, due)| *due));
            tokio::select! {
                () = until_due => {}
                () = shared.poll_now[self.lane as usize].notified() => {
                    self.transport.skip_back_off();
                    self.plan.make_due(Instant::now());
                }
                () = shared.mounts_changed.notified(), if self.lane == Lane::Slow => {
                    self.take_mounts();
                    continue;
                }
                () = shared.tail_wanted.notified(), if self.lane == Lane::Fast => {
                    self.tail = shared.tail.borrow_mut().take().map(|tail| (Box::new(tail), Instant::now()));
                    continue;
                }
                () = tail_is_due => {
                    Box::pin(self.look_at_logs()).await?;
                    continue;
                }
                error = self.transport.ended() => {
                    // A server may end a session that is idle for minutes: the slow lane logs in again when it has to.
                    if self.lane == Lane::Fast {
                        self.set_link(error.link()).await?;
                    }
                    continue;
                }
            }
            // On the heap: a lane that waits, as most do, holds no room for a login and a poll.
            Box::pin(self.poll_due()).await?;
        }
    }

    /// Reads the logs on for a screen, over a link that is up: nobody logs in for it.
    async fn look_at_logs(&mut self) -> Result<(), CoreGone> {
        let Some((mut tail, due)) = self.tail.take().filter(|(tail, _)| !tail.is_over()) else { return Ok(()) };
        let reports = self.look(&mut tail).await;
        self.tail = Some((tail, (due + TAIL_EVERY).max(Instant::now())));
        for report in reports {
            self.report(report).await?;
        }
        Ok(())
    }

    async fn look(&mut self, tail: &mut Tail) -> Vec<Report> {
        let settings = self.spec.settings.clone();
        if !self.link.is_up() {
            let why = self.link.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            tail.tell_trouble(Some(format!("not read: {}{why}", self.link.state).as_str().into()));
            return Vec::new();
        }
        if let Some(probe) =
            [ProbeId::Logs, ProbeId::Journal].iter().find(|probe| self.memory.running.contains_key(probe))
        {
            tail.tell_trouble(Some(
                format!("not read: an earlier look at {probe} still runs on the host").as_str().into(),
            ));
            return Vec::new();
        }
        let sent = (self.context.now)();
        let poll = tail.poll(&settings, sent);
        let limits = RunLimits { deadline: settings.deadline, output_bytes_max: settings.output_bytes_max };
        match self.transport.run(&poll.script, limits).await {
            Ok(output) => {
                tail.take(&settings, &poll, &output);
                // A look that hangs is never started twice, by a poll neither.
                self.note_stuck(&poll, &output, sent).into_iter().collect()
            }
            Err(error) => {
                tail.tell_trouble(Some(format!("not read: {error}").as_str().into()));
                self.link_report(error.link()).into_iter().collect()
            }
        }
    }

    /// Remembers the shell of a probe that passed its deadline, and says so.
    fn note_stuck(&mut self, poll: &Poll, output: &Output, sent: Moment) -> Option<Report> {
        let answers = poll.answers(output);
        let hung = poll.probes.iter().zip(&answers.sections).find(|(_, answer)| answer.is_none());
        match (&output.end, answers.shell, hung) {
            (End::DeadlinePassed, Some(shell), Some((probe, _))) => {
                self.memory.running.insert(probe.clone(), shell);
                Some(Report::Stuck { host: self.spec.name.clone(), probe: probe.clone(), since: sent })
            }
            _ => None,
        }
    }

    /// Waits for the fast lane to name the mounts, then asks each probe once; a host that can't be reached is not tried twice.
    async fn run_slow_once(&mut self) -> Result<(), CoreGone> {
        let shared = self.context.shared.clone();
        while shared.mounts.borrow().is_none() {
            shared.mounts_changed.notified().await;
        }
        self.take_mounts();
        let started = Instant::now();
        while self.plan.next_due().is_some_and(|due| due <= started) {
            self.poll_due().await?;
            if !matches!(self.link.state, LinkState::Connected) {
                let left = self.plan.due_by(started);
                let why = self.link.why.as_ref().map_or("the host can't be reached".to_owned(), ToString::to_string);
                return self.report_unread(&left, &why).await;
            }
        }
        Ok(())
    }

    fn take_mounts(&mut self) {
        self.memory.mounts = self.context.shared.mounts.borrow().clone().unwrap_or_default();
        self.plan.set_mounts(&self.memory, Instant::now());
    }

    async fn poll_due(&mut self) -> Result<(), CoreGone> {
        let started = Instant::now();
        let mut probes = self.take_due(started);
        if let Err(error) = self.transport.connect().await {
            self.retry_soon(&probes, started);
            if self.lane == Lane::Slow {
                // The host may answer its fast lane all the while: what is not read must not look as if it were.
                Box::pin(self.report_unread(&probes, &error.to_string())).await?;
            }
            return Box::pin(self.set_link(error.link())).await;
        }
        if !self.memory.running.is_empty() {
            probes = Box::pin(self.without_running(probes, started)).await?;
        }
        if probes.is_empty() { Ok(()) } else { self.poll(probes, started).await }
    }

    /// What is due now, which is then due again a cadence later.
    fn take_due(&mut self, started: Instant) -> Vec<ProbeId> {
        let settings = &self.spec.settings;
        let probes = self.plan.due_now(started, settings.cadence.min(settings.cron_cadence) / 2);
        let spread = std::mem::take(&mut self.spread);
        for probe in &probes {
            let cadence = plan::cadence(probe, settings);
            self.plan.reschedule(probe, on_the_grid(started + cadence.mul_f64(1.0 - spread).max(TICK)));
        }
        probes
    }

    /// Leaves out what still runs on the host from an earlier poll.
    async fn without_running(&mut self, probes: Vec<ProbeId>, started: Instant) -> Result<Vec<ProbeId>, CoreGone> {
        let mut free = Vec::with_capacity(probes.len());
        for probe in probes {
            match self.is_still_running(&probe).await? {
                true => self.retry_soon(std::slice::from_ref(&probe), started),
                false => free.push(probe),
            }
        }
        Ok(free)
    }

    async fn report_unread(&mut self, probes: &[ProbeId], why: &str) -> Result<(), CoreGone> {
        let outcomes = probes.iter().map(|probe| (probe.clone(), Err(why.into()))).collect();
        let now = (self.context.now)();
        self.report(Report::Polled(Polled {
            host: self.spec.name.clone(),
            lane: self.lane,
            sent: now,
            received: now,
            outcomes,
            cost: None,
            cursors: None,
        }))
        .await
    }

    async fn poll(&mut self, probes: Vec<ProbeId>, started: Instant) -> Result<(), CoreGone> {
        let settings = &self.spec.settings;
        let limits =
            RunLimits { deadline: plan::deadline(self.lane, settings), output_bytes_max: settings.output_bytes_max };
        let sent = (self.context.now)();
        let poll = Poll::new(probes, settings, &self.memory, clock::nonce(), sent);
        let reports = match self.transport.run(&poll.script, limits).await {
            Ok(output) => self.digest(&poll, &output, sent, started),
            Err(error) => self.link_report(error.link()).into_iter().collect(),
        };
        for report in reports {
            self.report(report).await?;
        }
        Ok(())
    }

    /// Reads what came back, moves what is remembered and due on by it, and says what the core must hear.
    fn digest(&mut self, poll: &Poll, output: &Output, sent: Moment, started: Instant) -> Vec<Report> {
        let settings = self.spec.settings.clone();
        let received = (self.context.now)();
        let answers = poll.answers(output);
        let link = self.link_after(&output.end, answers.sections.iter().all(Option::is_none));
        let mut reports: Vec<Report> = self.link_report(link).into_iter().collect();
        let before = self.memory.cursors.clone();
        let outcomes = poll.outcomes(&answers, output, &settings, &mut self.memory, received);
        for (probe, outcome) in &outcomes {
            if let Ok(Reading::Disk(disk)) = outcome {
                self.context.shared.name_mounts(Some(&disk.slow_mounts));
            }
            if outcome.is_err() && self.lane == Lane::Slow {
                self.plan.reschedule(probe, started + plan::slow_retry(probe, &settings));
            }
        }
        if outcomes.iter().any(|(probe, _)| *probe == ProbeId::Accounting) && self.memory.cursors.accounting.is_behind()
        {
            // What older files tell is caught up with a piece a poll.
            self.plan.reschedule(&ProbeId::Accounting, started + settings.cadence);
        }
        let stuck = self.note_stuck(poll, output, sent);
        if let (Some(Report::Stuck { probe, .. }), Lane::Slow) = (&stuck, self.lane) {
            // The own machine's shell was killed, and would be asked again at once.
            self.plan.reschedule(probe, started + settings.slow_cadence);
        }
        reports.extend(stuck);
        let cursors = (before != self.memory.cursors).then(|| self.memory.cursors.clone());
        let LaneMemory { cursors: reached, running, .. } = &self.memory;
        *self.context.shared.left[self.lane as usize].borrow_mut() =
            Left { cursors: reached.clone(), running: running.clone() };
        reports.push(Report::Polled(Polled {
            host: self.spec.name.clone(),
            lane: self.lane,
            sent,
            received,
            outcomes,
            cost: answers.cost,
            cursors,
        }));
        reports
    }

    /// What a finished run says of the link; a slow probe that hangs says nothing of it.
    fn link_after(&self, end: &End, nothing_came: bool) -> Link {
        match end {
            End::Lost(why) => Link::down(LinkState::Lost, why.as_str()),
            End::DeadlinePassed if nothing_came && self.lane == Lane::Fast => {
                Link::down(LinkState::TimedOut, "no answer within the deadline")
            }
            End::DeadlinePassed | End::TooMuchOutput | End::Exited(_) | End::Signalled(_) => Link::up(),
        }
    }

    /// Whether a probe that passed its deadline earlier still runs on the host: it is never started twice.
    async fn is_still_running(&mut self, probe: &ProbeId) -> Result<bool, CoreGone> {
        let Some(shell) = self.memory.running.get(probe).copied() else { return Ok(false) };
        let nonce = clock::nonce();
        let parameters = vec![shell.pid.to_string(), shell.start_ticks.to_string()];
        let script = compose(&nonce, &[Section { script: ALIVE_SCRIPT, parameters }]);
        let limits = RunLimits { deadline: self.spec.settings.deadline, output_bytes_max: 1 << 16 };
        let Ok(output) = self.transport.run(&script, limits).await else { return Ok(true) };
        let answers = split(&output.stdout, &nonce, 1);
        match answers.sections.first() {
            Some(Some(answer)) if !answer.body.starts_with(b"alive") => {
                self.memory.running.remove(probe);
                self.report(Report::Freed { host: self.spec.name.clone(), probe: probe.clone() }).await?;
                Ok(false)
            }
            Some(_) | None => Ok(true),
        }
    }

    /// A probe that could not be asked is tried again sooner than its cadence, if that is long.
    fn retry_soon(&mut self, probes: &[ProbeId], started: Instant) {
        let settings = self.spec.settings.clone();
        for probe in probes {
            let retry = match self.lane {
                Lane::Fast => settings.cadence.min(plan::cadence(probe, &settings)),
                Lane::Slow => plan::slow_retry(probe, &settings),
            };
            self.plan.reschedule(probe, started + retry);
        }
    }

    async fn set_link(&mut self, link: Link) -> Result<(), CoreGone> {
        match self.link_report(link) {
            Some(report) => self.report(report).await,
            None => Ok(()),
        }
    }

    /// What the core must hear of a link, where that is news.
    fn link_report(&mut self, link: Link) -> Option<Report> {
        if self.link == link {
            return None;
        }
        self.link = link.clone();
        Some(Report::Link { host: self.spec.name.clone(), lane: self.lane, link })
    }

    async fn report(&self, report: Report) -> Result<(), CoreGone> {
        self.context.reports.reserve().await.map_err(|_| CoreGone)?.send(report);
        Ok(())
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The tick at or before a time: due times that fall on ticks wake the program once for many hosts.
fn on_the_grid(time: Instant) -> Instant {
    static EPOCH: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let epoch = *EPOCH.get_or_init(|| time);
    let since = time.saturating_duration_since(epoch);
    let past_tick = Duration::from_nanos((since.as_nanos() % TICK.as_nanos()) as u64);
    time - past_tick
}
