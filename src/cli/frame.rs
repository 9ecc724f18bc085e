//! `dogwatch frame`: one frame of the screen, after the first poll, on standard output.

use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::check::poll_once;
use super::demo::{Temporary, load, read_audit_of};
use super::{CommandError, Common, block_on, themes};
use crate::adapters::clock;
use crate::adapters::store::state_dir::StateDir;
use crate::domain::check::Pane;
use crate::domain::fleet::HostName;
use crate::engine::drill::{Drill, DrillClock};
use crate::engine::feed::Publisher;
use crate::tui::frame_of;
use crate::tui::model::{FeedSource, Model, View};
use crate::tui::picture::{Format, picture};
use crate::tui::theme::colour::Tier;

/// A frame of more cells is a mistake.
const SIDE_MAX: u16 = 1_000;

/// Print one frame of the screen, after the first poll.
#[derive(Args)]
pub struct FrameArguments {
    /// Columns and rows
    #[arg(long, value_name = "COLSxROWS", default_value = "120x35")]
    size: Size,
    /// fleet, disk, logs, backup, cron, wall, or host:NAME
    #[arg(long, default_value = "fleet")]
    view: Shown,
    #[arg(long, value_enum, default_value = "txt")]
    format: FormatName,
    /// Of a demo's fleet instead of the own one: a scenario by its name, or a file of one
    #[arg(long, value_name = "SCENARIO")]
    demo: Option<String>,
    /// How long after the demo's beginning, such as '33d 5h'; its end by default
    #[arg(long, value_name = "TIME", requires = "demo")]
    at: Option<humantime::Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    /// Text alone
    Txt,
    /// Text with the codes that a terminal colours it by
    Ansi,
    /// A picture
    Svg,
}

#[derive(Clone, Copy)]
struct Size {
    columns: u16,
    rows: u16,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
        let sides = text.split_once(['x', '×']).and_then(|(columns, rows)| Some((side(columns)?, side(rows)?)));
        let (columns, rows) = sides.ok_or_else(|| format!("write columns and rows as 120x35, 1 to {SIDE_MAX} each"))?;
        Ok(Self { columns, rows })
    }
}

#[derive(Clone)]
struct Shown {
    view: View,
    wall: bool,
}

impl FromStr for Shown {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = |name: &str| HostName::parse(name).map_err(|error| error.to_string());
        if let Some((name, job)) = text.strip_prefix("job:").and_then(|rest| rest.split_once('/')) {
            return Ok(Self { view: View::Job(host(name)?, job.into()), wall: false });
        }
        let view = match (text, text.strip_prefix("host:")) {
            ("fleet" | "wall", _) => View::Fleet,
            ("disk", _) => View::Pane(Pane::Disk),
            ("logs", _) => View::Pane(Pane::Logs),
            ("backup", _) => View::Pane(Pane::Backup),
            ("cron", _) => View::Pane(Pane::Cron),
            ("actions", _) => View::Actions,
            (_, Some(name)) => View::Host(host(name)?),
            (_, None) => {
                return Err(
                    "there are fleet, disk, logs, backup, cron, actions, wall, host:NAME and job:HOST/NAME".to_owned()
                );
            }
        };
        Ok(Self { view, wall: text == "wall" })
    }
}

pub fn run(common: &Common, arguments: &FrameArguments) -> Result<(), CommandError> {
    // A picture has every sign; text goes where the locale says what it may hold.
    let glyphs = match arguments.format {
        FormatName::Svg => common.glyphs.unwrap_or_default(),
        FormatName::Txt | FormatName::Ansi => themes::glyphs_of_text(common),
    };
    let theme = themes::all().load(&themes::wanted(common))?.in_tier(Tier::True).in_glyphs(glyphs);
    let mut model = match &arguments.demo {
        Some(scenario) => demo(scenario, arguments.at.map(Into::into))?,
        None => {
            let mut model = Model::new(FeedSource::OwnEngine, clock::now());
            model.replace(poll_once(common)?);
            model
        }
    };
    let Shown { view, wall } = arguments.view.clone();
    if let View::Host(name) | View::Job(name, _) = &view
        && !model.board.hosts.contains_key(name)
    {
        return Err(CommandError::Usage(format!("no host is named {name}")));
    }
    model.view = view;
    model.wall = wall || common.wall;
    model.read_only = common.read_only;
    model.sort();
    let format = match arguments.format {
        FormatName::Txt => Format::Text,
        FormatName::Ansi => Format::Ansi,
        FormatName::Svg => Format::Svg,
    };
    let buffer = frame_of(&mut model, &theme, arguments.size.columns, arguments.size.rows);
    let mut out = std::io::stdout().lock();
    out.write_all(picture(&buffer, format).as_bytes())?;
    Ok(out.flush()?)
}

/// A demo's fleet as it stands then, without a store.
fn demo(scenario: &str, at: Option<Duration>) -> Result<Model, CommandError> {
    let (scenario, config) = load(scenario)?;
    let title = scenario.title.clone();
    let directory = Temporary::new()?;
    let state = StateDir::open(Some(&directory.0))?;
    let audit = read_audit_of(&scenario, state.path())?;
    let clock = DrillClock::new(&scenario);
    let mut drill = Drill::new(scenario, &config, Publisher::default(), clock.clone());
    while drill.next_at() <= at.unwrap_or(Duration::MAX) && drill.step() {}
    block_on(drill.put_on_record(state.path()))?;
    let mut model = Model::new(FeedSource::OwnEngine, clock.now());
    model.replace(drill.into_board());
    model.demo = Some(title);
    model.audit = Some(audit().map_err(CommandError::Failed)?);
    Ok(model)
}
