//! How long a frame takes, and how many bytes it is, with a thousand hosts on the board.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dogwatch::domain::board::Board;
use dogwatch::domain::check::state::CheckState;
use dogwatch::domain::check::{CheckId, CheckKind, CheckResult, Unit};
use dogwatch::domain::fleet::HostName;
use dogwatch::domain::probe::{Lane, ProbeId, Reading};
use dogwatch::domain::status::Status;
use dogwatch::domain::time::Moment;
use dogwatch::domain::transition::{Batch, Change, HostEntry, Input, Link, Observation, Seen, Transition};
use dogwatch::engine::feed::FeedMessage;
use dogwatch::tui::model::{FeedSource, Model};
use dogwatch::tui::panes::draw::draw;
use dogwatch::tui::screen;
use dogwatch::tui::theme::file::Themes;
use dogwatch::tui::update;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::verdict;

const HOSTS: usize = 1_000;
const SIZE: Rect = Rect { x: 0, y: 0, width: 200, height: 50 };
/// Hosts polled each 10 s, seen each 250 ms.
const POLLED_A_FRAME: usize = HOSTS / 40;
const FRAMES: usize = 2_000;
const FRESH_FOR_MS: u64 = 28_000;
const MOUNTS: [&str; 4] = ["/", "/var", "/home", "/srv"];

#[derive(Clone, Default)]
struct Counter(Rc<Cell<usize>>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn measure() -> io::Result<()> {
    let mut now = Moment { utc_ms: 1_790_000_000_000, boot_ms: 1_000_000, origin: 1 };
    let names: Vec<HostName> =
        (0..HOSTS).filter_map(|index| HostName::parse(&format!("host-{index:04}")).ok()).collect();
    let mut model = Model::new(FeedSource::OwnEngine, now);
    model.replace(watched(&names, now));
    let theme = Themes::default().load("default").map_err(io::Error::other)?;
    let bytes = Counter::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(SIZE) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(bytes.clone()), options)?;
    let (mut took, mut sizes) = (Vec::new(), Vec::new());
    for frame in 0..FRAMES {
        now = now.plus(Duration::from_millis(250));
        let polled = (0..POLLED_A_FRAME).map(|index| &names[(frame * POLLED_A_FRAME + index) % HOSTS]);
        let inputs: Vec<Input> = polled.map(|name| polled_once(name, now, frame)).collect();
        let (began, sent) = (Instant::now(), bytes.0.get());
        model.now = now;
        update::feed(&mut model, FeedMessage::Inputs(Arc::new(inputs)));
        model.sort();
        terminal.draw(|frame| {
            let shown = screen::build(&mut model, SIZE.width, SIZE.height);
            draw(frame, &shown, &theme);
        })?;
        took.push(began.elapsed());
        sizes.push(bytes.0.get() - sent);
    }
    // A full repaint is the first; each host has told something after the first forty.
    let repaint = sizes[0];
    let (mut took, mut sizes) = (took.split_off(80), sizes.split_off(80));
    took.sort_unstable();
    sizes.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "\na frame of {HOSTS} hosts at 200×50, its inputs folded in: p50 {:.2} ms, p99 {:.2} ms (goal ≤ 1 {})",
        super::ms(p50),
        super::ms(p99),
        verdict(p99 <= Duration::from_millis(1))
    );
    println!(
        "its bytes: p50 {}, p99 {} (goal ≤ 4096 {}); the first {repaint} (goal ≤ 65536 {})",
        sizes[sizes.len() / 2],
        sizes[sizes.len() * 99 / 100],
        verdict(sizes[sizes.len() * 99 / 100] <= 4_096),
        verdict(repaint <= 65_536)
    );
    Ok(())
}

fn watched(names: &[HostName], now: Moment) -> Board {
    let entry = |name: &HostName| HostEntry {
        name: name.clone(),
        groups: vec![],
        own: false,
        trend_window_ms: 21_600_000,
        colour: None,
        parent: None,
    };
    let mut board = Board::default();
    let hosts = names.iter().map(entry).collect();
    board
        .apply_transition(&Transition::new(now, Change::FleetChanged { hosts, groups: vec![], digest: String::new() }));
    for name in names {
        let link = Change::LinkChanged { host: name.clone(), lane: Lane::Fast, link: Link::up() };
        board.apply_transition(&Transition::new(now, link));
        for result in results(0) {
            let state = CheckState::first(result.status, 1, now);
            let changed = Change::CheckChanged {
                host: name.clone(),
                probe: ProbeId::Disk,
                result: result.into(),
                state,
                fresh_for_ms: FRESH_FOR_MS,
            };
            board.apply_transition(&Transition::new(now, changed));
        }
    }
    board
}

/// Twelve checks, as a host with four file systems has.
fn results(turn: usize) -> Vec<CheckResult> {
    let kinds = [
        (CheckKind::DiskSpace, Unit::Percent),
        (CheckKind::DiskInodes, Unit::Percent),
        (CheckKind::DiskReadonly, Unit::Count),
    ];
    let ids = MOUNTS.iter().flat_map(|mount| kinds.map(|(kind, unit)| (CheckId::on(kind, (*mount).into()), unit)));
    ids.enumerate()
        .map(|(index, (id, unit))| {
            let value = 40.0 + ((turn * 7 + index * 13) % 40) as f64;
            CheckResult::new(id, Status::Ok, format!("{value:.0} % used, 41 GB left"), unit).value(value)
        })
        .collect()
}

fn polled_once(name: &HostName, now: Moment, turn: usize) -> Input {
    let reading = Arc::new(Reading::Disk(Arc::default()));
    let seen = Seen::Reading { reading, results: results(turn).into_iter().map(Arc::new).collect() };
    let observation = Arc::new(Observation { probe: ProbeId::Disk, fresh_for_ms: FRESH_FOR_MS, seen });
    Input::Batch(Batch { host: name.clone(), at: now, observations: vec![observation], cost: None })
}
