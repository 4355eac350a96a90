//! `gpu --watch`: the GPUs live on a terminal, which is as it was before afterwards, whatever ends the view.

mod screen;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use self::screen::Screen;
use self::view::View;
use super::{Exit, now};
use crate::evidence::{Gpu, GpuDriver, Snapshot};
use crate::settings::Settings;
use crate::sources::nvml::{Nvml, Schedule};
use crate::verbs::gpu::{GpuArgs, gpu};

type Seen = Result<(GpuDriver, Vec<Gpu>), String>;

/// What is asked how often by who looks every `seconds`: processes are to be seen coming and going.
pub(super) fn schedule(seconds: f64) -> Schedule {
    let samples = Duration::from_secs_f64(seconds).min(Schedule::default().samples);
    Schedule { samples, users: Duration::from_secs(5), ..Schedule::default() }
}

/// Shows what `source` sees every `seconds`, until somebody ends it.
pub(super) fn run(args: &GpuArgs, source: Nvml, seconds: f64) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot wait for the GPUs")?;
    let mut screen = Screen::open().context("cannot draw on this terminal")?;
    runtime.block_on(live(args, source, seconds, &mut screen.terminal))?;
    Ok(Exit::Pass)
}

/// Whether there is a terminal to draw on.
pub(super) fn need_terminal() -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("--watch draws on a terminal, and here is none; `edgeshift gpu` without it looks once");
    }
    Ok(())
}

async fn live(args: &GpuArgs, source: Nvml, seconds: f64, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    let (send, mut looks) = mpsc::channel(1);
    tokio::spawn(look(source, seconds, send));
    let mut events = events();
    let wait_for = |kind| signal(kind).context("cannot wait for signals");
    let mut terminate = wait_for(SignalKind::terminate())?;
    let mut interrupt = wait_for(SignalKind::interrupt())?;
    let mut hangup = wait_for(SignalKind::hangup())?;
    let mut view = View::new(seconds);
    loop {
        terminal.draw(|frame| view.draw(frame)).context("cannot draw")?;
        tokio::select! {
            seen = looks.recv() => {
                let (driver, gpus) = seen.context("nobody looks at the GPUs any more")?.map_err(anyhow::Error::msg)?;
                let mut snapshot = Snapshot::empty(now());
                snapshot.see_gpus(driver, gpus);
                let report = gpu(args, &snapshot, &Settings::default());
                view.see(snapshot, report);
            }
            event = events.recv() => match event {
                Some(Event::Key(key)) if is_end(key) => return Ok(()),
                Some(Event::Key(KeyEvent { code: KeyCode::Down | KeyCode::Char('j'), .. })) => view.scroll(true),
                Some(Event::Key(KeyEvent { code: KeyCode::Up | KeyCode::Char('k'), .. })) => view.scroll(false),
                // The terminal may have another size now.
                Some(_) => {}
                // It is gone.
                None => return Ok(()),
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// Looks until nobody wants to know any more. A driver that hangs holds up nothing else.
async fn look(source: Nvml, seconds: f64, send: mpsc::Sender<Seen>) {
    let mut ticks = interval(Duration::from_secs_f64(seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if send.send(source.gpus().await).await.is_err() {
            return;
        }
    }
}

/// What happens at the terminal, read by a thread of its own: reading cannot be given up.
fn events() -> mpsc::UnboundedReceiver<Event> {
    let (send, events) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if send.send(event).is_err() {
                return;
            }
        }
    });
    events
}

/// A terminal that is drawn on hands over Ctrl-C as a key.
fn is_end(key: KeyEvent) -> bool {
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
