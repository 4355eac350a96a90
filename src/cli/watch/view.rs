//! What `gpu --watch` shows: the state of the screen, and how it is drawn. Knows no terminal.

use std::collections::{BTreeMap, VecDeque};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline};

use crate::evidence::{ClockEvent, Gpu, GpuProcess, GpuState, Holder, Snapshot};
use crate::finding::Severity;
use crate::output::text::driver_line;
use crate::report::{Report, Subject};

/// How many looks are remembered: as many columns as a wide terminal has.
const HISTORY: usize = 240;
/// The lowest bar that can be seen, in percent: an eighth of a line.
const SEEN: u64 = 13;
/// Columns of a figure before its curve: a word, the figure itself.
const FIGURE: u16 = 44;

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Seconds between two looks.
    pub(super) interval: f64,
    /// The last look and what it came to; none before the first.
    seen: Option<(Snapshot, Report)>,
    /// The curves of each GPU by its UUID.
    curves: BTreeMap<String, Curves>,
    /// The GPU that is shown first.
    first: usize,
}

/// Shares of 0 to 1 over the last looks, the newest at the end; none where nothing was known.
#[derive(Debug, Default)]
struct Curves {
    busy: Curve,
    /// The largest sample of each look.
    peak: Curve,
    memory: Curve,
    power: Curve,
}

#[derive(Debug, Default)]
struct Curve(VecDeque<Option<f64>>);

impl View {
    pub(super) fn new(interval: f64) -> Self {
        Self { interval, ..Self::default() }
    }

    /// Takes in a look.
    pub(super) fn see(&mut self, snapshot: Snapshot, report: Report) {
        let gpus = snapshot.gpus.known().map(Vec::as_slice).unwrap_or_default();
        self.curves.retain(|uuid, _| gpus.iter().any(|gpu| gpu.uuid == *uuid));
        for gpu in gpus {
            let curves = self.curves.entry(gpu.uuid.clone()).or_default();
            curves.busy.push(gpu.utilization_mean);
            curves.peak.push(gpu.utilization_max);
            curves.memory.push(memory_share(gpu));
            curves.power.push(gpu.power_w.zip(gpu.power_limit_w).map(|(power, limit)| power / limit));
        }
        self.first = self.first.min(gpus.len().saturating_sub(1));
        self.seen = Some((snapshot, report));
    }

    /// Shows GPUs further down, or up.
    pub(super) fn scroll(&mut self, down: bool) {
        let last = self.curves.len().saturating_sub(1);
        self.first = if down { (self.first + 1).min(last) } else { self.first.saturating_sub(1) };
    }

    /// Draws everything.
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
        frame.render_widget(Paragraph::new(self.head()), head);
        let Some((snapshot, report)) = &self.seen else { return };
        let gpus = snapshot.gpus.known().map(Vec::as_slice).unwrap_or_default();
        let mut left = body;
        // What concerns no GPU: the driver.
        let about_all = health(report, &Subject::Deployment, body.width);
        let [lines, rest] =
            Layout::vertical([Constraint::Length(rows(about_all.len())), Constraint::Min(0)]).areas(left);
        frame.render_widget(Paragraph::new(about_all), lines);
        left = rest;
        let (mut shown, mut hidden) = (0, 0);
        for gpu in &gpus[self.first.min(gpus.len())..] {
            // Between the edges of the block.
            let lines = words(gpu, snapshot, report, body.width.saturating_sub(2));
            let height = rows(lines.len()) + 5;
            if height > left.height && shown > 0 {
                hidden += 1;
                continue;
            }
            shown += 1;
            let [place, rest] = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(left);
            self.draw_gpu(frame, place, gpu, lines);
            left = rest;
        }
        let hidden = hidden + self.first;
        let more = if hidden == 0 { String::new() } else { format!(" {hidden} more with ↑ and ↓ ") };
        frame.render_widget(Paragraph::new(more).dim(), foot);
    }

    fn head(&self) -> Line<'static> {
        let driver = self.seen.as_ref().and_then(|(snapshot, _)| snapshot.gpu_driver.known()).map(driver_line);
        let every = format!(" · every {} s · q ends", self.interval);
        Line::from(vec![driver.unwrap_or_else(|| "looking for GPUs …".to_owned()).bold(), every.dim()])
    }

    fn draw_gpu(&self, frame: &mut Frame<'_>, place: Rect, gpu: &Gpu, words: Vec<Line<'static>>) {
        let title = format!(" {} {} · {} ", gpu.index, gpu.name, gpu.uuid);
        let block = Block::bordered().title(Line::from(title).bold());
        let inner = block.inner(place);
        frame.render_widget(block, place);
        let height = [Constraint::Length(1), Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)];
        let [busy, memory, power, rest] = Layout::vertical(height).areas(inner);
        let Some(curves) = self.curves.get(&gpu.uuid) else { return };
        let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        let now = match gpu.state {
            GpuState::Up => percent(gpu.utilization_mean),
            GpuState::Lost => "lost".to_owned(),
            GpuState::ResetRequired => "needs reset".to_owned(),
        };
        let of_window = format!("mean {}, max {}", percent(curves.busy.mean()), percent(curves.peak.max()));
        row(frame, busy, ("busy", &now, &of_window), &curves.busy, Color::Green);
        let figure = gpu.memory_used_mib.zip(gpu.memory_total_mib);
        let figure = figure.map_or("-".to_owned(), |(used, total)| format!("{used} / {total} MiB"));
        row(frame, memory, ("memory", &percent(memory_share(gpu)), &figure), &curves.memory, Color::Blue);
        let now = gpu.power_w.map_or("-".to_owned(), |watts| format!("{watts:.0} W"));
        let limit = gpu.power_limit_w.map_or(String::new(), |limit| format!("of {limit:.0} W"));
        row(frame, power, ("power", &now, &limit), &curves.power, Color::Yellow);
        frame.render_widget(Paragraph::new(words), rest);
    }
}

impl Curve {
    fn push(&mut self, share: Option<f64>) {
        if self.0.len() == HISTORY {
            self.0.pop_front();
        }
        self.0.push_back(share.map(|share| share.clamp(0.0, 1.0)));
    }

    /// Over what is remembered.
    fn mean(&self) -> Option<f64> {
        let known: Vec<f64> = self.0.iter().flatten().copied().collect();
        #[expect(clippy::cast_precision_loss, reason = "there are some hundred looks")]
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    fn max(&self) -> Option<f64> {
        self.0.iter().flatten().copied().reduce(f64::max)
    }

    /// The newest `columns` in percent, so that the newest stands at the right.
    fn bars(&self, columns: u16) -> Vec<Option<u64>> {
        let columns = usize::from(columns);
        let newest = self.0.iter().skip(self.0.len().saturating_sub(columns));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "shares are from 0 to 1")]
        let height = |share: f64| if share > 0.0 { ((share * 100.0).round() as u64).max(SEEN) } else { 0 };
        let bars: Vec<Option<u64>> = newest.map(|share| share.map(height)).collect();
        let empty = std::iter::repeat_n(None, columns.saturating_sub(bars.len()));
        empty.chain(bars).collect()
    }
}

/// The lines below the curves.
fn words(gpu: &Gpu, snapshot: &Snapshot, report: &Report, width: u16) -> Vec<Line<'static>> {
    let figures = figures(gpu);
    let mut lines: Vec<Line<'_>> = (!figures.is_empty()).then(|| Line::from(figures.join(" · "))).into_iter().collect();
    let held: Vec<String> = gpu.clock_event_minutes.iter().map(held_down).collect();
    if !held.is_empty() {
        lines.push(Line::from(format!("clocks held down by {}", held.join(", "))).yellow());
    }
    lines.extend(processes(gpu, snapshot).map(Line::from));
    lines.extend(health(report, &Subject::Gpu(gpu.uuid.as_str().into()), width));
    lines
}

/// A word, its figure now, more about it, and the curve that led there.
fn row(frame: &mut Frame<'_>, place: Rect, (word, now, more): (&str, &str, &str), curve: &Curve, colour: Color) {
    let [text, bars] = Layout::horizontal([Constraint::Length(FIGURE), Constraint::Min(0)]).areas(place);
    let words =
        vec![Span::from(format!("{word:<7}")).dim(), Span::from(format!("{now:>11}  ")), Span::from(more.to_owned())];
    frame.render_widget(Paragraph::new(Line::from(words)), text);
    let curve = Sparkline::default().data(curve.bars(bars.width)).max(100).style(Style::new().fg(colour));
    frame.render_widget(curve.absent_value_symbol(" "), bars);
}

/// Temperature, clocks, the link and how it is driven, as far as they are known.
fn figures(gpu: &Gpu) -> Vec<String> {
    let clock = |name: &str, now: Option<u32>, max: Option<u32>| {
        now.map(|now| max.map_or(format!("{name} {now} MHz"), |max| format!("{name} {now} of {max} MHz")))
    };
    let temperature = gpu.temperature_c.map(|celsius| match gpu.temperature_max_c {
        Some(max) => format!("{celsius} °C of {max}"),
        None => format!("{celsius} °C"),
    });
    let figures = [
        temperature,
        gpu.memory_temperature_c.map(|celsius| format!("memory {celsius} °C")),
        clock("SM", gpu.sm_mhz, gpu.sm_max_mhz),
        clock("memory", gpu.memory_mhz, gpu.memory_max_mhz),
        gpu.performance_state.map(|state| format!("P{state}")),
        gpu.pcie.map(|link| format!("PCIe {} x{}", link.generation, link.width)),
    ];
    figures.into_iter().flatten().collect()
}

fn held_down((event, minutes): (&ClockEvent, &u8)) -> String {
    let event = match event {
        ClockEvent::HardwareSlowdown => "the board",
        ClockEvent::SoftwareThermal => "heat (driver)",
        ClockEvent::HardwareThermal => "heat (board)",
        ClockEvent::PowerBrake => "a power-brake signal",
    };
    format!("{event}, {minutes} of the last 10 minutes")
}

/// Who computes, with as much memory as is known.
fn processes(gpu: &Gpu, snapshot: &Snapshot) -> Option<String> {
    let list = gpu.processes.as_ref()?;
    let process = |process: &GpuProcess| {
        let whose = match snapshot.holder(process) {
            Holder::Module(id) => Some(id.to_owned()),
            Holder::Container(id) => Some(format!("container {}", id.get(..12).unwrap_or(id))),
            Holder::MpsServer => Some("MPS server".to_owned()),
            Holder::Host | Holder::Unknown => None,
        };
        let more: Vec<String> = whose.into_iter().chain(process.memory_mib.map(|mib| format!("{mib} MiB"))).collect();
        if more.is_empty() { process.pid.to_string() } else { format!("{} ({})", process.pid, more.join(", ")) }
    };
    let shown: Vec<String> = list.iter().take(6).map(process).collect();
    let more = if list.len() > shown.len() { format!(", {} more", list.len() - shown.len()) } else { String::new() };
    Some(if list.is_empty() { "no processes".to_owned() } else { format!("processes {}{more}", shown.join(", ")) })
}

/// What is wrong with `subject`, each with what to do about it.
fn health(report: &Report, subject: &Subject, width: u16) -> Vec<Line<'static>> {
    let of_subject = report.findings().filter(|(evaluation, _)| evaluation.subject == *subject);
    let lines = of_subject.flat_map(|(evaluation, finding)| {
        let colour = match finding.severity {
            Severity::Block | Severity::Silent => Color::Red,
            Severity::Warn => Color::Yellow,
            Severity::Info => Color::Cyan,
        };
        let head = format!("{} {}: {}", finding.severity.word(), evaluation.rule, finding.message);
        let head =
            wrapped(&head, "", width).into_iter().map(move |line| Line::from(line).style(Style::new().fg(colour)));
        let advice = finding.fix.as_ref().map(|fix| wrapped(&fix.title, "→ ", width)).unwrap_or_default();
        head.chain(advice.into_iter().map(Line::from))
    });
    lines.collect()
}

/// `text` behind `sign` in lines of at most `width` columns, as far as its words allow.
fn wrapped(text: &str, sign: &str, width: u16) -> Vec<String> {
    let (mut lines, mut line, mut is_begun) = (Vec::new(), sign.to_owned(), false);
    for word in text.split(' ') {
        if is_begun && line.chars().count() + 1 + word.chars().count() > usize::from(width) {
            lines.push(std::mem::replace(&mut line, "  ".to_owned()));
        } else if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    lines.push(line);
    lines
}

fn memory_share(gpu: &Gpu) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 MiB")]
    gpu.memory_used_mib
        .zip(gpu.memory_total_mib.filter(|total| *total > 0))
        .map(|(used, total)| used as f64 / total as f64)
}

fn rows(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::evidence::{DriverState, GpuDriver, Pcie};
    use crate::settings::Settings;
    use crate::verbs::gpu::{GpuArgs, gpu};

    fn t4(busy: f64) -> Gpu {
        Gpu {
            uuid: "GPU-5a1f7c1e".to_owned(),
            name: "Tesla T4".to_owned(),
            utilization_mean: Some(busy),
            utilization_max: Some((busy + 0.05).min(1.0)),
            memory_used_mib: Some(1900),
            memory_total_mib: Some(15360),
            temperature_c: Some(94),
            temperature_max_c: Some(85),
            temperature_slowdown_c: Some(93),
            power_w: Some(10.0 + 58.0 * busy),
            power_limit_w: Some(70.0),
            sm_mhz: Some(1200),
            sm_max_mhz: Some(1590),
            memory_mhz: Some(5000),
            performance_state: Some(0),
            pcie: Some(Pcie { generation: 3, width: 8, max_generation: 3, max_width: 16 }),
            persistence: Some(true),
            clock_event_minutes: [(ClockEvent::HardwareThermal, 4)].into(),
            processes: Some(vec![
                GpuProcess { pid: 4711, memory_mib: Some(1800), ..GpuProcess::default() },
                GpuProcess { pid: 4712, ..GpuProcess::default() },
            ]),
            ..Gpu::default()
        }
    }

    fn lost() -> Gpu {
        let (uuid, name) = ("GPU-0c9d".to_owned(), "NVIDIA A2".to_owned());
        Gpu { uuid, name, index: 1, state: GpuState::Lost, ..Gpu::default() }
    }

    fn see(view: &mut View, driver: GpuDriver, gpus: Vec<Gpu>) {
        let mut snapshot = Snapshot::empty(jiff::Timestamp::UNIX_EPOCH);
        snapshot.see_gpus(driver, gpus);
        let report = gpu(&GpuArgs::default(), &snapshot, &Settings::default());
        view.see(snapshot, report);
    }

    fn drawn(view: &View, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn driver(gpus: u32) -> GpuDriver {
        GpuDriver {
            version: Some("535.261.03".to_owned()),
            cuda: Some("12.2".to_owned()),
            gpus,
            ..GpuDriver::default()
        }
    }

    #[test]
    fn a_gpu_at_work_and_a_lost_one_with_what_to_do() {
        let mut view = View::new(1.0);
        for look in 0..40 {
            let busy = f64::from(look % 20) / 19.0;
            see(&mut view, driver(2), vec![t4(busy), lost()]);
        }
        insta::assert_snapshot!(drawn(&view, 110, 24));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_can_be_reached() {
        let mut view = View::new(1.0);
        let gpus = (0..4).map(|index| Gpu { uuid: format!("GPU-{index}"), index, ..t4(0.5) }).collect();
        see(&mut view, driver(4), gpus);
        let shown = |view: &View| {
            let text = drawn(view, 100, 28);
            (0..4).filter(|index| text.contains(&format!("GPU-{index} "))).collect::<Vec<_>>()
        };
        assert_eq!(shown(&view), [0, 1]);
        assert!(drawn(&view, 100, 28).contains("2 more"));
        view.scroll(true);
        view.scroll(true);
        assert_eq!(shown(&view), [2, 3]);
        for _ in 0..9 {
            view.scroll(true);
        }
        assert_eq!(shown(&view), [3]);
        view.scroll(false);
        assert_eq!(shown(&view), [2, 3]);
    }

    #[test]
    fn no_driver_no_size_and_no_look_are_drawn_too() {
        let mut view = View::new(0.5);
        assert!(drawn(&view, 80, 4).contains("looking for GPUs"));
        let hung = GpuDriver { state: DriverState::Unresponsive, ..GpuDriver::default() };
        see(&mut view, hung, Vec::new());
        let text = drawn(&view, 100, 10);
        assert!(text.contains("the GPU driver is unresponsive") && text.contains("→"), "{text}");
        see(&mut view, driver(1), vec![t4(0.3)]);
        for (columns, lines) in [(1, 1), (20, 3), (45, 9), (300, 60)] {
            drawn(&view, columns, lines);
        }
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three four", "→ ", 10), ["→ one two", "  three", "  four"]);
        assert_eq!(wrapped("a-word-that-is-long x", "", 5), ["a-word-that-is-long", "  x"]);
    }

    #[test]
    fn the_newest_look_stands_at_the_right() {
        let mut curve = Curve::default();
        for share in [0.0, 0.1, 0.3] {
            curve.push(Some(share));
        }
        curve.push(None);
        assert_eq!(curve.bars(6), [None, None, Some(0), Some(SEEN), Some(30), None]);
        assert_eq!(curve.bars(2), [Some(30), None]);
        for _ in 0..HISTORY {
            curve.push(Some(7.0));
        }
        assert_eq!((curve.0.len(), curve.mean(), curve.max()), (HISTORY, Some(1.0), Some(1.0)));
    }
}
