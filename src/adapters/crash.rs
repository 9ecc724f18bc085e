//! Panics of any thread: kept for whoever tells the user, since a screen has no place for a message that nobody drew.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once};
use std::thread::ThreadId;

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// From now on a panic is logged and kept. One of the calling thread is told as usual, after `before` was called; one of
/// any other thread leaves the terminal to the screen.
pub fn watch(before: fn()) {
    static HOOK: Once = Once::new();
    let screen: ThreadId = std::thread::current().id();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            keep(panic);
            if std::thread::current().id() == screen {
                before();
                usual(panic);
            }
        }));
    });
}

fn keep(panic: &PanicHookInfo) {
    let said = panic.payload_as_str().unwrap_or("it said nothing");
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    let told = format!("{said}{place}");
    tracing::error!("a fault of dogwatch itself: {told}");
    if let Ok(mut last) = LAST.lock() {
        *last = Some(told);
    }
}

/// What the last panic said, and where.
pub fn last() -> Option<String> {
    LAST.lock().ok().and_then(|last| last.clone())
}
