//! The terminal's one writer: whole frames, from a thread of their own, so that a stalled terminal stalls nothing else.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use ratatui::crossterm::event::DisableMouseCapture;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};

/// Collects one frame; [`Write::flush`] hands it to the writer's thread as one piece.
pub struct FrameSink {
    frame: Vec<u8>,
    busy: Arc<AtomicBool>,
    writer: SyncSender<Vec<u8>>,
}

impl FrameSink {
    pub fn new() -> Self {
        let (writer, frames) = sync_channel::<Vec<u8>>(1);
        let busy = Arc::new(AtomicBool::new(false));
        let thread_busy = busy.clone();
        std::thread::spawn(move || {
            for frame in frames {
                let mut out = io::stdout().lock();
                // A terminal that is gone is noticed by the signal that goes with it.
                let _ = out.write_all(&frame).and_then(|()| out.flush());
                thread_busy.store(false, Ordering::Release);
            }
        });
        Self { frame: Vec::with_capacity(64 << 10), busy, writer }
    }

    /// Whether the frame before this one is still being written: the next must then not be drawn at all.
    pub fn busy_flag(&self) -> Arc<AtomicBool> {
        self.busy.clone()
    }
}

impl Write for FrameSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.frame.is_empty() {
            queue!(self.frame, BeginSynchronizedUpdate)?;
        }
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        queue!(self.frame, EndSynchronizedUpdate)?;
        self.busy.store(true, Ordering::Release);
        let frame = std::mem::take(&mut self.frame);
        self.writer.send(frame).map_err(|_| io::Error::other("the terminal's writer is gone"))
    }
}

/// Takes the terminal over; a panic of the calling thread gives it back first.
pub fn enter() -> io::Result<()> {
    // `NO_COLOR` is served by a theme: crossterm's own way resets the selection's reverse video.
    force_color_output(true);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
}

/// Gives the terminal back; harmless when it was never taken.
pub fn leave() {
    let _ = execute!(io::stdout(), EndSynchronizedUpdate, DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}
