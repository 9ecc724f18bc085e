//! What a screen is given: a feed, and what it may ask of the world.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::audit_board::AuditBoard;
use super::dialog::{News, Order};
use super::keymap::Keymap;
use super::model::FeedSource;
use super::offer::OfferedAction;
use super::theme::Theme;
use super::theme::colour::Tier;
use super::theme::file::Themes;
use super::theme::glyphs::Glyphs;
use super::when::When;
use crate::domain::fleet::HostName;
use crate::domain::time::Moment;
use crate::domain::trend::history::HostHistory;
use crate::engine::feed::Feed;
use crate::engine::ran::RanThen;
use crate::engine::tail::LogFeed;

/// Reads a host's last day, or says why it can't be read; on a thread of its own.
pub type ReadHistory = Arc<dyn Fn(&HostName, Moment) -> Result<HostHistory, String> + Send + Sync>;
/// Begins to read the logs of these hosts on, for as long as the feed lives; or says why not.
pub type ReadLogs = Box<dyn FnMut(Vec<HostName>) -> Result<LogFeed, String>>;
/// The command that opens a shell on a host, noted with the engine; or why there is none.
pub type OpenShell = Box<dyn FnMut(&HostName) -> Result<Vec<OsString>, String>>;
/// Keeps what was copied in a file, for terminals that take no copy.
pub type KeepCopy = Arc<dyn Fn(&str) -> io::Result<PathBuf> + Send + Sync>;

/// Asks a host what ran between two moments of its clock, or says why it can't be asked; on a thread of its own.
pub type AskRan = Arc<dyn Fn(&HostName, When) -> Result<RanThen, String> + Send + Sync>;

/// Reads the audit on: what is new since it was read last.
pub type ReadAudit = Arc<dyn Fn() -> Result<AuditBoard, String> + Send + Sync>;

/// Does what is ordered for the dialog of this generation, and tells each step: what one dialog showed is carried out for
/// no other.
pub type CarryOut = Arc<dyn Fn(u64, Order, &dyn Fn(News)) + Send + Sync>;

/// Plans and carries out guarded actions; whatever is asked is done on a thread of its own.
pub struct Acting {
    pub offered: Vec<OfferedAction>,
    /// Does what is ordered, and tells each step.
    pub carry_out: CarryOut,
}

/// What a screen is attached to.
pub struct Attachment {
    pub feed: Feed,
    pub source: FeedSource,
    /// Asks the engine to poll one host, or all, now.
    pub poll_now: Box<dyn FnMut(Option<HostName>)>,
    /// Gives the engine the passphrase of the user's key files; `None` where the engine is another process.
    pub unlock: Option<Box<dyn FnMut(String)>>,
    pub history: Option<ReadHistory>,
    /// `None` where the engine is another process.
    pub tail: Option<ReadLogs>,
    pub shell: Option<OpenShell>,
    pub keep_copy: Option<KeepCopy>,
    pub audit: Option<ReadAudit>,
    /// `None` where no host can be asked from here.
    pub ran: Option<AskRan>,
    /// `None` where nothing can be done from here.
    pub acting: Option<Acting>,
}

pub struct ScreenOptions {
    pub themes: Themes,
    pub theme: Theme,
    pub tier: Tier,
    pub glyphs: Glyphs,
    pub keymap: Keymap,
    /// Said at the beginning.
    pub notice: Option<String>,
    pub read_only: bool,
    pub wall: bool,
    /// What is played, where this is a demo.
    pub demo: Option<String>,
    pub now: Box<dyn Fn() -> Moment>,
    /// What a panic said, if there was one.
    pub last_fault: fn() -> Option<String>,
}
