//! One lane of one host: connects, polls what is due, backs off, and reports.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::plan::{self, Outcomes, Plan};
use super::{Run, TICK};
use crate::adapters::clock;
use crate::adapters::transport::ssh::{Secrets, SshLane, Target};
use crate::adapters::transport::{End, RunLimits, Transport};
use crate::domain::fleet::{HostName, HostSpec, Reach};
use crate::domain::probe::Lane;
use crate::domain::probe::script::PollCost;
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
}

/// What every lane of an engine is given.
#[derive(Clone)]
pub struct LaneContext {
    pub reports: mpsc::Sender<Report>,
    /// Told when somebody asks for a poll of this host now.
    pub poll_now: Rc<Notify>,
    pub secrets: Secrets,
    pub now: fn() -> Moment,
}

pub struct LaneTask {
    spec: Rc<HostSpec>,
    lane: Lane,
    plan: Plan,
    transport: Transport,
    context: LaneContext,
    link: Link,
}

impl LaneTask {
    /// `None` where the lane has nothing to do.
    pub fn new(spec: Rc<HostSpec>, lane: Lane, context: LaneContext) -> Option<Self> {
        let plan = Plan::new(&spec, lane, Instant::now())?;
        let transport = match &spec.reach {
            Reach::Local => Transport::Local,
            Reach::Ssh { destination, ssh_config } => Transport::Ssh(Box::new(SshLane::new(Target {
                destination: destination.clone(),
                ssh_config: ssh_config.clone(),
                connect_deadline: spec.settings.connect_deadline,
                secrets: context.secrets.clone(),
            }))),
            Reach::Replay { .. } => return None,
        };
        Some(Self { spec, lane, plan, transport, context, link: Link::default() })
    }

    /// Polls until the core is gone; in [`Run::Once`] until each probe was asked once.
    pub async fn run(mut self, mode: Run) {
        let spread = self.spread();
        let mut first = true;
        while self.wait_until_due().await {
            if self.poll_due(if first { spread } else { Duration::ZERO }).await.is_err() || mode == Run::Once {
                break;
            }
            first = false;
        }
        // A core that is gone needs no farewell.
        let _ = self.report(Report::Ended).await;
    }

    /// Sleeps until a probe is due or somebody asks for a poll; false when nothing will ever be due.
    async fn wait_until_due(&mut self) -> bool {
        let Some(due) = self.plan.next_due() else { return false };
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = self.context.poll_now.notified() => {
                self.transport.skip_back_off();
                self.plan.make_due(Instant::now());
            }
        }
        true
    }

    /// Hosts answer at once at start and are then spread over their cadence, in whole ticks.
    fn spread(&self) -> Duration {
        let ticks = (self.spec.settings.cadence.as_millis() / TICK.as_millis()).max(1);
        TICK.mul_f64((clock::random_u128() % ticks) as f64)
    }

    async fn poll_due(&mut self, spread: Duration) -> Result<(), CoreGone> {
        let settings = self.spec.settings.clone();
        let started = Instant::now();
        let poll = self.plan.poll(started, clock::nonce());
        // The first interval is shortened by the spread: no reading ever waits longer than its cadence.
        self.plan.reschedule(&poll.probes, &settings, started - spread.min(settings.cadence / 2));
        let limits =
            RunLimits { deadline: plan::deadline(self.lane, &settings), output_bytes_max: settings.output_bytes_max };
        if let Err(error) = self.transport.connect().await {
            return self.set_link(error.link()).await;
        }
        let sent = (self.context.now)();
        match self.transport.run(&poll.script, limits).await {
            Err(error) => self.set_link(error.link()).await,
            Ok(output) => {
                let received = (self.context.now)();
                let answers = poll.answers(&output);
                let link = match &output.end {
                    End::Lost(why) => Link::down(LinkState::Lost, why.as_str()),
                    End::DeadlinePassed if answers.sections.iter().all(Option::is_none) => {
                        Link::down(LinkState::TimedOut, "no answer within the deadline")
                    }
                    End::DeadlinePassed | End::TooMuchOutput | End::Exited(_) | End::Signalled(_) => Link::up(),
                };
                self.set_link(link).await?;
                let outcomes = poll.outcomes(&answers, &output);
                let polled = Polled {
                    host: self.spec.name.clone(),
                    lane: self.lane,
                    sent,
                    received,
                    outcomes,
                    cost: answers.cost,
                };
                self.report(Report::Polled(polled)).await
            }
        }
    }

    async fn set_link(&mut self, link: Link) -> Result<(), CoreGone> {
        if self.link == link {
            return Ok(());
        }
        self.link = link.clone();
        self.report(Report::Link { host: self.spec.name.clone(), lane: self.lane, link }).await
    }

    async fn report(&self, report: Report) -> Result<(), CoreGone> {
        self.context.reports.send(report).await.map_err(|_| CoreGone)
    }
}

/// The core no longer takes reports: the engine is stopping.
struct CoreGone;
