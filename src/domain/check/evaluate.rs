//! From a reading to the results of every check that rests on it.

use super::host_clock::ClockSkew;
use super::{
    CheckResult, Context, disk_inodes, disk_raid, disk_readonly, disk_space, host_clock, host_load, host_memory,
    host_reboot,
};
use crate::domain::probe::Reading;
use crate::domain::probe::host::HostReading;
use crate::domain::text::SafeText;

/// What the poll knew besides the reading.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// The observer's clock when the script was sent and when its answer was whole, milliseconds since the epoch.
    pub sent_ms: i64,
    pub received_ms: i64,
}

impl RoundTrip {
    fn skew(&self, host: &HostReading) -> ClockSkew {
        let half = (self.received_ms - self.sent_ms).max(0) / 2;
        // A clock read in whole seconds was, on average, half a second further than it says.
        let grain = if host.clock_is_fine { 0 } else { 500 };
        ClockSkew { skew_ms: host.clock_ms + grain - (self.sent_ms + half), uncertainty_ms: half + grain }
    }
}

/// The results of all checks that rest on one reading.
pub fn evaluate(
    reading: &Reading,
    round_trip: RoundTrip,
    boot_before: Option<&SafeText>,
    context: &Context,
) -> Vec<CheckResult> {
    match reading {
        Reading::Host(host) => {
            let mut results = host_memory::check(host, context);
            results.push(host_load::check(host, context));
            results.push(host_reboot::check(host, boot_before, context));
            results.push(host_clock::check(round_trip.skew(host), context));
            results
        }
        Reading::Disk(disk) => {
            let mut results = disk_space::check(disk, context);
            results.extend(disk_inodes::check(disk, context));
            results.extend(disk_readonly::check(disk, context));
            results.extend(disk_raid::check(disk, context));
            results
        }
        Reading::Engine(_) => Vec::new(),
    }
}
