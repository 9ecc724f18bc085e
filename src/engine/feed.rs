//! Feeds: how inputs reach the screens of this process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::domain::board::Board;
use crate::domain::time::Moment;
use crate::domain::transition::Input;

/// Messages waiting for one screen; past that it gets a whole board instead.
const FEED_MAX: usize = 4_096;

/// What a feed carries.
#[derive(Clone, Debug)]
pub enum FeedMessage {
    Inputs(Arc<Vec<Input>>),
    /// The engine's newest sign of life.
    Alive {
        pid: u32,
        at: Moment,
    },
    /// The reader lagged or just came: this is the board to go on from.
    Reload(Box<Board>),
}

/// The reading end of a feed.
pub type Feed = Receiver<FeedMessage>;

/// The writing end of all feeds of this process.
#[derive(Default)]
pub struct Publisher {
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    sender: SyncSender<FeedMessage>,
    lags: bool,
}

impl Publisher {
    /// A new feed; it begins with a whole board at the next publication.
    pub fn subscribe(&mut self) -> Feed {
        let (sender, feed) = sync_channel(FEED_MAX);
        self.subscribers.push(Subscriber { sender, lags: true });
        feed
    }

    /// Sends inputs that `board` already holds. Never waits: a full feed is marked, and reloaded when it has room.
    pub fn publish(&mut self, inputs: &Arc<Vec<Input>>, board: &Board) {
        self.subscribers.retain_mut(|subscriber| {
            let message = match subscriber.lags {
                true => FeedMessage::Reload(Box::new(board.clone())),
                false => FeedMessage::Inputs(inputs.clone()),
            };
            match subscriber.sender.try_send(message) {
                Ok(()) => {
                    subscriber.lags = false;
                    true
                }
                Err(TrySendError::Full(_)) => {
                    subscriber.lags = true;
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            }
        });
    }
}
