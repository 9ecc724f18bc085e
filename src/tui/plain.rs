//! `--plain`: changes as lines, for screen readers and logs.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::attachment::Attachment;
use super::input::{Wake, watch_signals};
use super::model::{FEED_STALE_AFTER, FeedSource, Model};
use super::run::drain;
use crate::domain::board::HostBoard;
use crate::domain::fleet::HostName;
use crate::domain::observed::Quality;
use crate::domain::status::Status;
use crate::domain::text::SafeText;
use crate::domain::time::Moment;

/// How often the feed is drained, and what has grown too old is looked for.
const TICK: Duration = Duration::from_millis(500);

/// Announces changes until a signal ends it, or the feed does.
pub fn announce(attachment: &Attachment, now: &dyn Fn() -> Moment, out: &mut impl Write) -> io::Result<()> {
    let (wakes, signals) = channel();
    watch_signals(wakes);
    let mut announcer = Announcer::new(attachment.source.clone(), now());
    loop {
        announcer.model.now = now();
        let is_open = drain(attachment, &mut announcer.model).is_open;
        for line in announcer.news() {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        if !is_open {
            return Err(io::Error::other("the engine ended: nothing is polled any more"));
        }
        if is_ended(&signals) {
            return Ok(());
        }
    }
}

fn is_ended(signals: &Receiver<Wake>) -> bool {
    match signals.recv_timeout(TICK) {
        Ok(Wake::End | Wake::Interrupted) | Err(RecvTimeoutError::Disconnected) => true,
        Ok(Wake::Suspend) => {
            // As any program does; it goes on where it was.
            let _ = kill_process(getpid(), Signal::STOP);
            false
        }
        Ok(Wake::Key(_) | Wake::Mouse(_) | Wake::Pasted(_) | Wake::Resizing | Wake::Resized | Wake::Continued)
        | Ok(Wake::History(..) | Wake::Said(_) | Wake::Acted(..) | Wake::Audit(_) | Wake::Ran(..))
        | Err(RecvTimeoutError::Timeout) => false,
    }
}

/// What was said last of each check and of the feed.
struct Announcer {
    model: Model,
    said: HashMap<HostName, HashMap<String, Status>>,
    links: HashMap<HostName, String>,
    started: Moment,
    feed_was_dead: bool,
    errors: Vec<SafeText>,
}

impl Announcer {
    fn new(source: FeedSource, now: Moment) -> Self {
        let model = Model::new(source, now);
        let (said, links) = (HashMap::new(), HashMap::new());
        Self { model, said, links, started: now, feed_was_dead: false, errors: Vec::new() }
    }

    /// What changed since the last call, a line each; what is as it was, and what began well, is not said.
    fn news(&mut self) -> Vec<String> {
        let now = self.model.now;
        let mut lines = Vec::new();
        // An engine that was just looked for has not been silent yet.
        let has_begun = !self.started.age_at(now).is_within(FEED_STALE_AFTER);
        let dead = self.model.feed_is_dead() && (has_begun || self.feed_was_dead);
        if dead != self.feed_was_dead {
            self.feed_was_dead = dead;
            lines.push(if dead {
                "STALE: the engine tells nothing".to_owned()
            } else {
                "the engine is back".to_owned()
            });
        }
        if self.errors != self.model.board.config_errors {
            self.errors.clone_from(&self.model.board.config_errors);
            match self.errors.is_empty() {
                true => lines.push("hosts.toml is in force again".to_owned()),
                false => lines.push("hosts.toml is broken, the old one stays in force".to_owned()),
            }
            lines.extend(self.errors.iter().map(|error| format!("hosts.toml: {error}")));
        }
        self.said.retain(|name, _| self.model.board.hosts.contains_key(name));
        for (name, host) in &self.model.board.hosts {
            lines.extend(link_news(&mut self.links, name, host));
            let said = self.said.entry(name.clone()).or_default();
            for view in host.views(now).filter(|view| view.confirmed) {
                let before = said.insert(view.id.to_string(), view.status);
                if before.unwrap_or(Status::Ok) != view.status {
                    let was = before.map(|before| format!(" (was {})", before.word())).unwrap_or_default();
                    let stale = if view.quality == Quality::Stale { ", too old" } else { "" };
                    let (status, id, reason) = (view.status.word(), view.id, &view.result.reason);
                    lines.push(format!("{name} {status}{stale}{was} {id}: {reason}"));
                }
            }
        }
        let at = now.utc().format("%Y-%m-%dT%H:%M:%SZ");
        lines.into_iter().map(|line| format!("{at} {line}")).collect()
    }
}

fn link_news(links: &mut HashMap<HostName, String>, name: &HostName, host: &HostBoard) -> Option<String> {
    let (link, why) = host.link();
    let words = why.map_or(link.to_string(), |why| format!("{link}: {why}"));
    let before = links.insert(name.clone(), words.clone());
    (before.as_deref() != Some(words.as_str())).then(|| format!("{name} {words}"))
}

/// What is announced of a board that nobody has heard of yet.
#[cfg(test)]
pub fn lines_of(model: &Model) -> Vec<String> {
    let mut announcer = Announcer::new(model.source.clone(), model.now);
    announcer.model.replace(model.board.clone());
    announcer.news()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::check::state::CheckState;
    use crate::domain::check::{CheckId, CheckKind, CheckResult, Unit};
    use crate::domain::probe::{Lane, ProbeId};
    use crate::domain::time::at;
    use crate::domain::transition::{Change, HostEntry, Input, Link, Transition};

    fn host() -> HostName {
        HostName::parse("db1").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_engine_that_is_only_being_looked_for_is_not_gone() {
        let mut announcer = Announcer::new(FeedSource::Attached { pid: 7, alive_at: None }, at(0));
        let mut news = |second| {
            announcer.model.now = at(second);
            announcer.news().len()
        };
        assert_eq!((news(4), news(6), news(7)), (0, 1, 0));
    }

    fn tell(announcer: &mut Announcer, second: i64, change: Change) -> Vec<String> {
        announcer.model.now = at(second);
        announcer.model.apply(&Input::Transition(Transition::new(at(second), change)));
        let lines = announcer.news().into_iter();
        lines.filter_map(|line| line.split_once(' ').map(|(_, said)| said.to_owned())).collect()
    }

    fn load(second: i64, status: Status) -> Change {
        let result = CheckResult::new(CheckId::of(CheckKind::HostLoad), status, "load 9", Unit::PerCpu);
        let state = CheckState::first(status, 1, at(second));
        Change::CheckChanged { host: host(), probe: ProbeId::Host, result: result.into(), state, fresh_for_ms: 28_000 }
    }

    #[test]
    fn changes_are_said_once_and_what_goes_silent_too() {
        let mut announcer = Announcer::new(FeedSource::OwnEngine, at(0));
        let entry = HostEntry {
            name: host(),
            groups: vec![],
            own: false,
            trend_window_ms: 3_600_000,
            colour: None,
            parent: None,
        };
        let fleet = Change::FleetChanged { hosts: vec![entry], groups: vec![], digest: String::new() };
        assert_eq!(tell(&mut announcer, 0, fleet), ["db1 connecting"]);
        let up = Change::LinkChanged { host: host(), lane: Lane::Fast, link: Link::up() };
        assert_eq!(tell(&mut announcer, 1, up.clone()), ["db1 connected"]);
        assert_eq!(tell(&mut announcer, 2, load(2, Status::Ok)), Vec::<String>::new());
        assert_eq!(tell(&mut announcer, 3, load(3, Status::Critical)), ["db1 CRITICAL (was OK) host.load: load 9"]);
        assert_eq!(tell(&mut announcer, 4, up.clone()), Vec::<String>::new());
        assert_eq!(tell(&mut announcer, 40, up), ["db1 UNKNOWN, too old (was CRITICAL) host.load: load 9"]);
        assert_eq!(tell(&mut announcer, 41, load(41, Status::Ok)), ["db1 OK (was UNKNOWN) host.load: load 9"]);
    }
}
