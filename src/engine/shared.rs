//! What the two lanes of a host share with one another and with the engine.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

use super::memory::Cursors;
use super::tail::Tail;
use crate::domain::probe::ProbeId;
use crate::domain::probe::disk::SlowMount;
use crate::domain::probe::script::ShellId;

/// What the two lanes of a host share.
#[derive(Default)]
pub struct Shared {
    /// Told when somebody asks for a poll of this host now, each lane by itself: one that is at work polls again after it.
    pub(super) poll_now: [Notify; 2],
    /// What each lane knew when it last finished a poll: one that is begun again after a fault goes on from there.
    pub(super) left: [RefCell<Left>; 2],
    /// What the fast lane's newest disk reading named for the slow lane; `None` before the first poll ended.
    pub(super) mounts: RefCell<Option<Vec<SlowMount>>>,
    pub(super) mounts_changed: Notify,
    /// A screen's wish to read the logs on, until the fast lane takes it up.
    pub(super) tail: RefCell<Option<Tail>>,
    pub(super) tail_wanted: Notify,
}

/// What a lane must know beyond its own fault.
#[derive(Clone, Default)]
pub(super) struct Left {
    pub cursors: Rc<Cursors>,
    pub running: HashMap<ProbeId, ShellId>,
}

impl Shared {
    /// For a host whose reading goes on where an earlier process left it.
    pub fn new(cursors: Rc<Cursors>) -> Self {
        let left = || RefCell::new(Left { cursors: cursors.clone(), ..Left::default() });
        Self { left: [left(), left()], ..Self::default() }
    }

    pub fn ask_for_poll(&self) {
        self.poll_now.iter().for_each(Notify::notify_one);
    }

    /// Tells the slow lane what mounts there are; one that never saw any, none.
    pub fn name_mounts(&self, seen: Option<&[SlowMount]>) {
        let mut mounts = self.mounts.borrow_mut();
        // A first poll that failed names no mounts, and that is an answer too.
        let changed = match seen {
            Some(seen) => mounts.as_deref() != Some(seen),
            None => mounts.is_none(),
        };
        if changed {
            *mounts = Some(seen.unwrap_or_default().to_vec());
            self.mounts_changed.notify_waiters();
            self.mounts_changed.notify_one();
        }
    }

    /// Reads this host's logs on for a screen; a wish before it is over.
    pub fn tail(&self, tail: Tail) {
        *self.tail.borrow_mut() = Some(tail);
        self.tail_wanted.notify_one();
    }
}
