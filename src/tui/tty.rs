//! The terminal's one writer: whole frames, from a thread of their own, so that a stalled terminal stalls nothing else.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ratatui::crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute, queue};

/// xterm's window operations 22 and 23: the title that was there comes back.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
const POP_TITLE: &[u8] = b"\x1b[23;2t";

/// Whether a frame is being written: there is one terminal, and one writer.
static BUSY: AtomicBool = AtomicBool::new(false);
/// How long a frame that is being written is waited for before the terminal is given to somebody else.
const LAST_FRAME_MAX: Duration = Duration::from_secs(1);

/// Collects one frame; [`Write::flush`] hands it to the writer's thread as one piece.
pub struct FrameSink {
    frame: Vec<u8>,
    writer: SyncSender<Vec<u8>>,
}

impl FrameSink {
    pub fn new() -> Self {
        let (writer, frames) = sync_channel::<Vec<u8>>(1);
        std::thread::spawn(move || {
            for frame in frames {
                let mut out = io::stdout().lock();
                // A terminal that is gone is noticed by the signal that goes with it.
                let _ = out.write_all(&frame).and_then(|()| out.flush());
                drop(out);
                BUSY.store(false, Ordering::Release);
            }
        });
        Self { frame: Vec::with_capacity(64 << 10), writer }
    }
}

/// Whether the frame before is still being written: the next must then not be drawn at all.
pub fn is_busy() -> bool {
    BUSY.load(Ordering::Acquire)
}

/// Waits for the frame that is being written, within reason; false where the terminal takes nothing.
fn is_free_soon() -> bool {
    let asked = Instant::now();
    while is_busy() {
        if LAST_FRAME_MAX < asked.elapsed() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Writes a line over the first one, past the thread that draws; nothing where the terminal is busy.
pub fn write_over(text: &str) {
    if is_busy() {
        return;
    }
    let mut out = io::stdout().lock();
    let _ = write!(out, "\x1b7\x1b[1;1H\x1b[7m{text}\x1b[0m\x1b8").and_then(|()| out.flush());
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
        BUSY.store(true, Ordering::Release);
        let frame = std::mem::take(&mut self.frame);
        self.writer.send(frame).map_err(|_| io::Error::other("the terminal's writer is gone"))
    }
}

/// Characters of a notification or a title.
const TOLD_CHARS_MAX: usize = 200;

/// Rings the bell, and notifies where the terminal passes that on: OSC 9 (iTerm2, kitty, WezTerm), OSC 777 (rxvt, foot).
pub fn notification(text: &str) -> Vec<u8> {
    let text = within_osc(text);
    format!("\x07\x1b]9;{text}\x1b\\\x1b]777;notify;dogwatch;{text}\x1b\\").into_bytes()
}

/// Longer copies are refused by terminals that take shorter ones.
const COPY_BYTES_MAX: usize = 32 << 10;

/// Hands a text to the terminal's clipboard: OSC 52, whose payload can't end it, being base64.
pub fn clipboard(text: &str) -> Vec<u8> {
    let end = (0..=COPY_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("\x1b]52;c;{}\x1b\\", STANDARD.encode(&text[..end])).into_bytes()
}

/// Takes the mouse from the terminal, or gives it back: buttons and the wheel, without motion (modes 1000 and 1006).
pub fn mouse(on: bool) -> &'static [u8] {
    if on { b"\x1b[?1000h\x1b[?1006h" } else { b"\x1b[?1006l\x1b[?1000l" }
}

/// The title of the window.
pub fn title(text: &str) -> Vec<u8> {
    format!("\x1b]2;{}\x1b\\", within_osc(text)).into_bytes()
}

/// Nothing that could end the sequence, or be taken for another field of it.
fn within_osc(text: &str) -> String {
    let safe = text.chars().map(|c| if c == ';' { ',' } else { c }).filter(|c| !c.is_control());
    safe.take(TOLD_CHARS_MAX).collect()
}

/// Takes the terminal over; a panic of the calling thread gives it back first.
pub fn enter() -> io::Result<()> {
    // `NO_COLOR` is served by a theme: crossterm's own way resets the selection's reverse video.
    force_color_output(true);
    enable_raw_mode()?;
    io::stdout().write_all(PUSH_TITLE)?;
    // One that was killed leaves its frame there.
    execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), EnableBracketedPaste, cursor::Hide)
}

/// Gives the terminal back; harmless when it was never taken. A terminal that takes nothing any more gets its modes only:
/// writing to it would wait for ever.
pub fn leave() {
    if !is_free_soon() {
        let _ = disable_raw_mode();
        return;
    }
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = io::stdout().write_all(POP_TITLE).and_then(|()| io::stdout().flush());
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_can_not_end_its_sequence_and_is_cut_at_a_character() {
        let told = clipboard("db1 \x1b\\ \x07 é");
        assert!(told.starts_with(b"\x1b]52;c;") && told.ends_with(b"\x1b\\"));
        assert!(told[7..told.len() - 2].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)));
        assert!(clipboard(&"é".repeat(COPY_BYTES_MAX)).len() < COPY_BYTES_MAX * 4 / 3 + 16);
    }

    #[test]
    fn what_a_host_said_can_not_end_a_notification() {
        let told = String::from_utf8(notification("db1 \x1b]52;c;aGk=\x07 \u{9c} full; soon")).unwrap_or_default();
        assert_eq!(told.matches('\x1b').count(), 4);
        assert_eq!(told.matches('\x07').count(), 1);
        assert!(told.contains("db1 ]52,c,aGk=  full, soon"), "{told:?}");
    }
}
