//! Watches the thread that draws: a screen that stands still must not look as if all were well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the beats are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The loop goes round twice a second; past this it stands still.
const STILL_AFTER: Duration = Duration::from_secs(5);
/// Instead of a time: nothing is to be seen now, as another program has the terminal.
const STANDS_STILL: u64 = u64::MAX;

/// The last signs of life of the thread that draws.
#[derive(Clone)]
pub struct Beats {
    began: Instant,
    /// Milliseconds since `began`.
    last: Arc<AtomicU64>,
}

impl Beats {
    /// Beats that a thread of its own watches; what it says when they stop goes to `say`.
    pub fn watched(say: impl Fn(&str) + Send + 'static) -> Self {
        let beats = Self { began: Instant::now(), last: Arc::default() };
        let watched = Arc::downgrade(&beats.last);
        let began = beats.began;
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(LOOK_EVERY);
                let Some(last) = watched.upgrade().map(|last| last.load(Ordering::Acquire)) else { return };
                if let Some(still_for) = still_for(last, began.elapsed()) {
                    say(&words(still_for));
                }
            }
        });
        beats
    }

    pub fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
        self.last.store(now, Ordering::Release);
    }

    /// Nobody draws for a while, and that is as it should be; the next beat ends it.
    pub fn stand_still(&self) {
        self.last.store(STANDS_STILL, Ordering::Release);
    }
}

fn still_for(last_ms: u64, now: Duration) -> Option<Duration> {
    if last_ms == STANDS_STILL {
        return None;
    }
    now.checked_sub(Duration::from_millis(last_ms)).filter(|still| STILL_AFTER < *still)
}

fn words(still_for: Duration) -> String {
    format!(" STALE: this screen has stood still for {} s; what is on it is as old ", still_for.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_thread_that_stands_still_is_told_of_and_one_that_lends_its_terminal_is_not() {
        assert_eq!(still_for(1_000, Duration::from_secs(5)), None);
        assert_eq!(still_for(1_000, Duration::from_millis(6_500)), Some(Duration::from_millis(5_500)));
        assert_eq!(still_for(STANDS_STILL, Duration::from_secs(60)), None);
    }

    #[test]
    fn the_watcher_says_so_by_itself() {
        let (said, heard) = channel();
        let _beats = Beats::watched(move |words| drop(said.send(words.to_owned())));
        let words = heard.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|error| panic!("{error}"));
        assert!(words.contains("STALE: this screen has stood still for"), "{words}");
    }
}
