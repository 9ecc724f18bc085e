//! What a plan tells beside what its hash covers: what it rests on, and what it should change. All of it may have changed a
//! minute later without voiding the plan.

use std::time::Duration;

use super::ActionId;
use crate::domain::board::HostBoard;
use crate::domain::check::{CheckId, CheckKind, bytes_words};
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
    pub fn foresee(&mut self, action: &ActionId, host: Option<&HostBoard>, now: Moment) {
        self.effect = self.frees.as_ref().map(|frees| frees.words(host, now));
        let mount = self.frees.as_ref().map(|frees| &frees.mount);
        self.rests_on = host.and_then(|host| reading(action, mount, host, now));
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

/// The neediest reading of what the action is about.
fn reading(action: &ActionId, mount: Option<&SafeText>, host: &HostBoard, now: Moment) -> Option<String> {
    let kinds: &[CheckKind] = match action.as_str().split('.').next().unwrap_or_default() {
        "logs" | "disk" => &[CheckKind::DiskSpace, CheckKind::DiskReadonly],
        "backup" => &[CheckKind::BackupAge, CheckKind::BackupRetention, CheckKind::BackupTarget],
        "cron" => &[CheckKind::CronJob],
        "unit" => &[CheckKind::HostUnits],
        "process" => &[CheckKind::HostLoad, CheckKind::HostMemory],
        _ => return None,
    };
    let is_about = |id: &CheckId| {
        kinds.contains(&id.kind) && mount.is_none_or(|mount| id.subject.as_ref().is_none_or(|subject| subject == mount))
    };
    let view = host.views(now).filter(|view| is_about(view.id)).max_by_key(|view| view.rank())?;
    Some(format!("{} {}: {}, read {} ago", view.id, view.last_status, view.result.reason, view.age))
}
