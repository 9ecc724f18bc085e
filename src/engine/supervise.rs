//! Keeps a lane running: no host stops being watched unseen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::Run;
use super::lane::{LaneContext, LaneTask, Report};
use crate::domain::fleet::HostSpec;
use crate::domain::probe::Lane;
use crate::domain::transition::{Link, LinkState};

/// A lane that failed by a fault of ours is begun again after this long.
const AFTER_FAULT: Duration = Duration::from_secs(30);

/// Runs a lane to its end. A lane that panics is told as lost and begun again.
pub async fn supervised(spec: Rc<HostSpec>, lane: Lane, context: LaneContext) {
    let run = || LaneTask::new(spec.clone(), lane, context.clone()).run();
    let told = async |fault: String| {
        let why = format!("a fault of dogwatch itself, please report it: {fault}");
        let link = Link::down(LinkState::Lost, why.as_str());
        // A core that is gone needs no word of it.
        let _ = context.reports.send(Report::Link { host: spec.name.clone(), lane, link }).await;
        if context.mode == Run::Once {
            if lane == Lane::Fast {
                // The slow lane waits to hear of them.
                context.shared.name_mounts(None);
            }
            let _ = context.reports.send(Report::Ended).await;
        }
    };
    let again = if context.mode == Run::Once { None } else { Some(AFTER_FAULT) };
    restarted(run, told, again).await;
}

/// Runs what `make` makes until one of them ends without a panic, with a pause of `again` between them.
async fn restarted<F: Future<Output = ()>>(make: impl Fn() -> F, told: impl AsyncFn(String), again: Option<Duration>) {
    while let Err(fault) = caught(make()).await {
        told(fault).await;
        match again {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return,
        }
    }
}

/// Runs a future to its end, or to its panic, and says what the panic said. What panicked is never polled again.
async fn caught(future: impl Future<Output = ()>) -> Result<(), String> {
    // On the heap: an argument that is pinned where it stands is held twice.
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Poll::Ready(Err(said.unwrap_or_else(|| "a panic without a word".to_owned())))
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[tokio::test]
    async fn a_lane_that_panics_is_told_and_begun_again() {
        let (runs, faults) = (Rc::new(Cell::new(0)), RefCell::new(Vec::new()));
        let make = || {
            let runs = runs.clone();
            async move {
                runs.set(runs.get() + 1);
                tokio::task::yield_now().await;
                assert_ne!(runs.get(), 1, "the first run fails");
            }
        };
        let told = async |fault: String| faults.borrow_mut().push(fault);
        restarted(make, told, Some(Duration::ZERO)).await;
        assert_eq!(runs.get(), 2);
        assert!(faults.borrow()[0].contains("the first run fails"), "{faults:?}");
    }
}
