//! How the selected trouble comes again, in words: reckoned anew only when something of it changed.

use std::cell::RefCell;
use std::sync::Arc;

use super::screen::reason_piece;
use crate::domain::board::{CheckView, HostBoard};
use crate::domain::check::CheckId;
use crate::domain::fleet::HostName;
use crate::domain::incident::recurrence::Recurrence;
use crate::domain::probe::{ProbeId, Reading};

/// Earlier times from which on there is more to say than their number.
const EARLIER_MIN: usize = 2;

/// The words of the trouble that was looked at last: one row is selected at a time, and a host may have hundreds of jobs.
#[derive(Default)]
pub struct Remembered(RefCell<Option<(Key, String)>>);

#[derive(PartialEq)]
struct Key {
    host: HostName,
    check: CheckId,
    opened_ms: i64,
    /// The inventory that the suspect was looked for in.
    jobs: usize,
}

/// The whole reason of a check, with how its trouble comes again.
pub fn whole_reason(remembered: &Remembered, name: &HostName, host: Option<&HostBoard>, view: &CheckView) -> String {
    let reason = reason_piece(view).text;
    let jobs = host.and_then(|host| host.probes.get(&ProbeId::Cron)?.reading.as_ref()).map(|reading| reading.last());
    let Some(episode) = view.episode.filter(|episode| episode.is_open() && EARLIER_MIN <= episode.earlier.len()) else {
        return reason;
    };
    let key = Key {
        host: name.clone(),
        check: view.id.clone(),
        opened_ms: episode.opened.utc_ms,
        jobs: jobs.map_or(0, |jobs| Arc::as_ptr(jobs) as usize),
    };
    let mut known = remembered.0.borrow_mut();
    if known.as_ref().is_none_or(|(of, _)| *of != key) {
        let cron = jobs.and_then(|reading| match reading.as_ref() {
            Reading::Cron(cron) => Some(cron),
            _ => None,
        });
        let words = Recurrence::of(episode, cron).map(|again| format!(" — {}", again.words())).unwrap_or_default();
        *known = Some((key, words));
    }
    known.as_ref().map_or(reason.clone(), |(_, words)| reason + words)
}
