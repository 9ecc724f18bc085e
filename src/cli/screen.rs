//! `dogwatch` without a subcommand: the screen, on an engine of its own or attached to one that runs already.

use std::io::IsTerminal;

use super::acting::{acting, read_audit};
use super::attach::{ask_ran, history, keep_copy, leave, shell, tail};
use super::host_engine::{Hosting, start, watch_config};
use super::{CommandError, Common, keys, themes, witness};
use crate::adapters::store::request::Request;
use crate::adapters::store::state_dir::{Claim, StateDir};
use crate::adapters::{clock, crash};
use crate::domain::fleet::HostName;
use crate::engine::feed::Publisher;
use crate::engine::follow::follow;
use crate::engine::{Command, Passphrase, Run};
use crate::tui::model::FeedSource;
use crate::tui::plain::announce;
use crate::tui::{Attachment, ScreenOptions, leave_terminal, show};

pub fn run(common: &Common) -> Result<(), CommandError> {
    take_terminal(common)?;
    let options = options(common)?;
    if common.read_only {
        return attached(common, &common.existing_state_dir()?, None, options);
    }
    // Asked for before the screen comes, and before anything that would ask again.
    common.secrets()?;
    let directory = common.state_dir()?;
    match directory.claim()? {
        Claim::Won(lock) => {
            let hosting = Hosting { directory, lock, how: "screen", mode: Run::UntilStopped, only: Vec::new() };
            with_own_engine(common, hosting, options)
        }
        Claim::Taken { pid } => attached(common, &directory, pid, options),
    }
}

/// Makes sure that there is something to show on, and that a panic gives it back.
pub fn take_terminal(common: &Common) -> Result<(), CommandError> {
    let has_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if !common.plain && (!has_terminal || is_dumb) {
        return Err(CommandError::Usage(
            "the screen needs a terminal that can place text; there is --plain for lines, and 'dogwatch check' for scripts"
                .to_owned(),
        ));
    }
    let give_back: fn() = if common.plain { || {} } else { leave_terminal };
    crash::watch(give_back);
    Ok(())
}

fn with_own_engine(common: &Common, hosting: Hosting, options: ScreenOptions) -> Result<(), CommandError> {
    let config = common.config()?;
    let database = hosting.directory.database();
    witness::start(common, &hosting.directory, &config);
    let state = hosting.directory.path().to_owned();
    let mut publisher = Publisher::default();
    let feed = publisher.subscribe();
    let engine = start(common, config, publisher, hosting)?;
    let _reload = watch_config(common.hosts.clone(), engine.commands.clone());
    let commands = engine.commands.clone();
    let (unlock, noted) = (commands.clone(), commands.clone());
    let note = move |host: HostName, by| drop(noted.try_send(Command::ShellOpened { host, by }));
    let attachment = Attachment {
        feed,
        source: FeedSource::OwnEngine,
        history: Some(history(&database)),
        tail: Some(tail(commands.clone())),
        shell: Some(shell(common.hosts.clone(), note)),
        keep_copy: Some(keep_copy(&database)),
        audit: Some(read_audit(common, &state)),
        ran: Some(ask_ran(common)),
        acting: acting(common),
        // A full queue means that polls were asked for already.
        poll_now: Box::new(move |host| drop(commands.try_send(Command::PollNow(host)))),
        unlock: Some(Box::new(move |typed| drop(unlock.try_send(Command::Unlock(Passphrase(typed)))))),
    };
    let shown = present(common, attachment, options);
    engine.stop()?;
    shown
}

fn attached(
    common: &Common,
    directory: &StateDir,
    pid: Option<u32>,
    options: ScreenOptions,
) -> Result<(), CommandError> {
    let database = directory.database();
    let read_only = options.read_only;
    let asked = database.clone();
    let told = database.clone();
    let note = move |host, by| leave(told.clone(), Request::ShellOpened { host, by });
    let attachment = Attachment {
        feed: follow(database.clone()),
        source: FeedSource::Attached { pid: pid.unwrap_or(0), alive_at: None },
        poll_now: match read_only {
            true => Box::new(|_| {}),
            false => Box::new(move |host| leave(asked.clone(), Request::Poll(host))),
        },
        unlock: None,
        history: Some(history(&database)),
        tail: None,
        shell: if read_only { None } else { Some(shell(common.hosts.clone(), note)) },
        keep_copy: if read_only { None } else { Some(keep_copy(&database)) },
        audit: Some(read_audit(common, directory.path())),
        ran: if read_only { None } else { Some(ask_ran(common)) },
        acting: if read_only { None } else { acting(common) },
    };
    present(common, attachment, options)
}

/// On the screen, or as lines.
pub fn present(common: &Common, attachment: Attachment, options: ScreenOptions) -> Result<(), CommandError> {
    match common.plain {
        true => Ok(announce(&attachment, &options.now, &mut std::io::stdout().lock())?),
        false => Ok(show(attachment, options)?),
    }
}

pub fn options(common: &Common) -> Result<ScreenOptions, CommandError> {
    let themes = themes::all();
    let theme = themes.load(&themes::wanted(common))?;
    // A slip in keys.toml keeps nobody from looking.
    let keymap = keys::in_force();
    Ok(ScreenOptions {
        themes,
        theme,
        tier: themes::tier(),
        glyphs: themes::glyphs(common),
        notice: keymap.as_ref().err().map(|error| format!("keys at their defaults: {error}: dogwatch keys check")),
        keymap: keymap.unwrap_or_default(),
        read_only: common.read_only,
        wall: common.wall,
        demo: None,
        now: Box::new(clock::now),
        last_fault: crash::last,
    })
}
