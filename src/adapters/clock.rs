//! The one place that asks what time it is.

use std::sync::LazyLock;

use rustix::time::{ClockId, clock_gettime};

use crate::domain::probe::script::Nonce;
use crate::domain::time::Moment;

static ORIGIN: LazyLock<u64> = LazyLock::new(|| random_u128() as u64);

/// Now, on both clocks, as this process sees it.
pub fn now() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    Moment {
        utc_ms: chrono::Utc::now().timestamp_millis(),
        boot_ms: boot.tv_sec.saturating_mul(1_000).saturating_add(boot.tv_nsec / 1_000_000),
        origin: *ORIGIN,
    }
}

/// A nonce that no host can guess.
pub fn nonce() -> Nonce {
    Nonce::new(random_u128())
}

/// Random bits from the operating system; from the hasher's own seed where that fails.
pub fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u128::from_ne_bytes(bytes),
        Err(_) => {
            use std::hash::{BuildHasher, RandomState};
            u128::from(RandomState::new().hash_one(1)) << 64 | u128::from(RandomState::new().hash_one(2))
        }
    }
}
