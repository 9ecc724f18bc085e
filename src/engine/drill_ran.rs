//! What ran on a host of a scenario at a time: by the bytes that its probes bring until now.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::drill::DrillClock;
use super::ran::RanThen;
use crate::adapters::scenario::{Offsets, Scenario};
use crate::domain::fleet::HostName;
use crate::domain::probe::ProbeId;
use crate::domain::probe::accounting::{self, AcctCursor, AcctMemory, RawRecord};
use crate::domain::probe::cron::{self, CronReading};
use crate::domain::probe::script::Answer;
use crate::domain::proof::ran::ran;
use crate::domain::text::SafeText;

/// Pieces of an accounting file that are read at most: a scenario is no host.
const PIECES_MAX: usize = 100;

/// What a scenario's host had recorded by now of the time between two moments of its clock.
pub fn ran_then(
    scenario: &Scenario,
    clock: &DrillClock,
    host: &HostName,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> RanThen {
    let now = clock.now().utc();
    let brought = |probe, offsets: &Offsets| {
        let mut parts = scenario.parts(host, &probe, clock.elapsed(), offsets)?;
        let body = parts.pop()?;
        Some((parts, body))
    };
    let (mut cursor, mut memory) = (AcctCursor::default(), AcctMemory::default());
    let (mut records, mut users) = (Vec::<RawRecord>::new(), BTreeMap::new());
    for _ in 0..PIECES_MAX {
        let place = cursor.place(&memory);
        let offsets = place.map(|(inode, offset)| (inode.to_string(), offset.to_string())).into_iter().collect();
        let Some((parts, body)) = brought(ProbeId::Accounting, &offsets) else { break };
        let answer = Answer { body: &body, parts: parts.iter().map(Vec::as_slice).collect(), status: 0 };
        let Ok(reading) = accounting::parse(&answer, &mut cursor, &mut memory, now.timestamp()) else { break };
        records.extend(reading.records);
        users.extend(reading.users);
        if reading.path.is_none() || (place.is_some() && reading.behind_bytes == 0) {
            break;
        }
    }
    let cron = brought(ProbeId::Cron, &Offsets::new()).and_then(|(parts, body)| {
        let answer = Answer { body: &body, parts: parts.iter().map(Vec::as_slice).collect(), status: 0 };
        cron::parse(&answer, now, None).ok()
    });
    let CronReading { zone, runs, .. } = cron.unwrap_or_default();
    let mut lacks: Vec<SafeText> = Vec::new();
    if records.is_empty() {
        lacks.push("it has no accounting file, or none that anybody knows of yet".into());
    }
    RanThen {
        records: records.len(),
        ran: ran(&records, &runs, &users, from, to),
        zone: zone.parse().unwrap_or(Tz::UTC),
        lacks,
    }
}
