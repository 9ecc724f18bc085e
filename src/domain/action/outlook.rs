//! What a plan tells beside what its hash covers: what it rests on, and what it should change. All of it may have changed a
//! minute later without voiding the plan.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ActionId;
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::{CheckId, CheckKind, bytes_words};
use crate::domain::observed::Quality;
use crate::domain::text::SafeText;
use crate::domain::time::{Moment, words};
use crate::domain::trend::forecast::{Forecast, forecast, left_from};

/// What is told of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// What the preview printed, and how it ended.
    pub preview: Option<(i32, SafeText)>,
    pub warnings: Vec<String>,
    pub frees: Option<Frees>,
    /// What it should change, in words.
    pub effect: Option<String>,
    /// The reading that it rests on, with its age.
    pub rests_on: Option<String>,
}

/// Space that would be free again, as the host was asked a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frees {
    pub mount: SafeText,
    /// What the files that go take, at most.
    pub bytes: u64,
    /// Used and available bytes of the file system now.
    pub used: u64,
    pub available: u64,
}

impl Outlook {
    /// Says what the action rests on and what it should change, as far as the board knows the host.
    pub fn foresee(
        &mut self,
        action: &ActionId,
        parameters: &BTreeMap<String, String>,
        host: Option<&HostBoard>,
        now: Moment,
    ) {
        self.effect = self.frees.as_ref().map(|frees| frees.words(host, now));
        let path = self.frees.as_ref().map(|frees| frees.mount.as_str());
        let path =
            path.or(["mount", "file", "directory"].iter().find_map(|name| parameters.get(*name)).map(String::as_str));
        self.rests_on = host.and_then(|host| reading(action, path, host, now));
    }
}

impl Frees {
    fn words(&self, host: Option<&HostBoard>, now: Moment) -> String {
        let size = self.used.saturating_add(self.available).max(1) as f64;
        let percent = |used: u64| used as f64 * 100.0 / size;
        let (is, then) = (percent(self.used), percent(self.used.saturating_sub(self.bytes)));
        let space = format!(
            "frees up to {}: {} is {is:.0} % full now, and would be {then:.0} %",
            bytes_words(self.bytes as f64),
            self.mount
        );
        format!("{space}; {}", self.time_words(host, then, now))
    }

    /// How long it lasts, at the pace that the trend shows.
    fn time_words(&self, host: Option<&HostBoard>, then_percent: f64, now: Moment) -> String {
        let id = CheckId::on(CheckKind::DiskSpace, self.mount.clone());
        let Some(trend) = host.and_then(|host| host.trends.get(&id)) else {
            return "time to full: this store has no trend of it".to_owned();
        };
        let seen = forecast(trend);
        match (seen, left_from(trend, then_percent)) {
            (Forecast::FullAt { utc_ms }, Some(left)) => {
                let without = Duration::from_millis(u64::try_from(utc_ms - now.utc_ms).unwrap_or(0));
                format!("full in {} then, in {} without it", words(left), words(without))
            }
            (Forecast::NotEnough { have, need }, _) => format!("time to full: {have} of {need} points"),
            (Forecast::NotFilling | Forecast::FullAt { .. }, _) => "not filling".to_owned(),
        }
    }
}

/// The neediest reading of what the action is about; none where it is not known which that is.
fn reading(action: &ActionId, path: Option<&str>, host: &HostBoard, now: Moment) -> Option<String> {
    let kinds: &[CheckKind] = match action.as_str().split('.').next().unwrap_or_default() {
        "logs" | "disk" => &[CheckKind::DiskSpace, CheckKind::DiskReadonly],
        "unit" => &[CheckKind::HostUnits],
        "process" => &[CheckKind::HostLoad, CheckKind::HostMemory],
        _ => return None,
    };
    let is_below = |mount: &SafeText| {
        let rest = path.and_then(|path| path.strip_prefix(mount.as_str().trim_end_matches('/')));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Of file systems the innermost one that the path lies on.
    let depth = |view: &CheckView| view.id.subject.as_ref().map_or(0, |mount| mount.as_str().len());
    let is_about = |view: &CheckView| kinds.contains(&view.id.kind) && view.id.subject.as_ref().is_none_or(is_below);
    let view = host.views(now).filter(is_about).max_by_key(|view| (depth(view), view.rank()))?;
    let status = match view.quality {
        Quality::Stale => format!("STALE, was {}", view.last_status),
        Quality::Fresh | Quality::Partial | Quality::Missing => view.status.to_string(),
    };
    Some(format!("{} {status}: {}, read {} ago", view.id, view.result.reason, view.age))
}
