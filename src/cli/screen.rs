//! `dogwatch` without a subcommand: the screen, with an engine of its own.

use std::io::IsTerminal;

use tokio::sync::mpsc;

use super::{CommandError, Common};
use crate::adapters::clock;
use crate::engine::feed::Publisher;
use crate::engine::{self, COMMANDS_MAX, Command, Run};
use crate::tui::model::FeedSource;
use crate::tui::{Attachment, ScreenOptions, show};

pub fn run(common: &Common) -> Result<(), CommandError> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CommandError::Usage(
            "the screen needs a terminal; for scripts there is 'dogwatch check'".to_owned(),
        ));
    }
    let config = common.config()?;
    let mut publisher = Publisher::default();
    let feed = publisher.subscribe();
    let secrets = common.secrets()?;
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine::run(config, publisher, secrets, inbox, Run::UntilStopped).map(drop))?;
    let asked = commands.clone();
    let attachment = Attachment {
        feed,
        source: FeedSource::OwnEngine,
        // A full queue means that polls were asked for already.
        poll_now: Box::new(move |host| drop(asked.try_send(Command::PollNow(host)))),
    };
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let shown = show(attachment, ScreenOptions { no_colour, now: clock::now });
    drop(commands.blocking_send(Command::Stop));
    let ended = engine.join().map_err(|_| CommandError::Failed("the engine panicked".to_owned()))?;
    shown?;
    Ok(ended?)
}
