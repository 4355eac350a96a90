//! What is remembered of a GPU from look to look: since when it is hot or slowed down, and how fast its counters grow. What was
//! learnt of it is in [`Kept`](super::kept::Kept).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::kept::Kept;
use crate::evidence::{ClockEvent, ClockLimit, Corrected, Gpu, Mps, Owner, PcieBaseline, Pids};

/// Over which time replays of the link are counted.
const REPLAYS: Duration = Duration::from_secs(600);
/// Over which time corrected errors are counted (`gpu.md` §3.2: for each hour).
const CORRECTED: Duration = Duration::from_secs(3600);
/// Over which time it counts that heat held the clocks down.
const HEAT: Duration = Duration::from_secs(600);
/// How many minutes of throttling are remembered (`gpu.md` §3.2: 6 of 10).
const MINUTES: u64 = 10;
/// The slowest performance state, and the least use, at which the link is what it can be (`gpu.md` §3.4).
const LOADED_STATE: u8 = 2;
const LOADED_USE: f64 = 0.1;

/// What is remembered of one GPU.
#[derive(Debug)]
pub(super) struct History {
    hot_since: Option<Instant>,
    slowed_since: BTreeMap<ClockEvent, Instant>,
    replays: Growth,
    corrected: Growth,
    heat: Growth,
    crc: Growth,
    /// Looks in a row at which the GPU was busy and its link below what it was.
    below: u32,
    /// Whether the driver wanted something done, when it said so last.
    wants_recovery: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            hot_since: None,
            slowed_since: BTreeMap::new(),
            replays: Growth::over(REPLAYS),
            corrected: Growth::over(CORRECTED),
            heat: Growth::over(HEAT),
            crc: Growth::over(REPLAYS),
            below: 0,
            wants_recovery: false,
        }
    }
}

impl History {
    /// Whether what the driver wanted done was done since the last look, by what it says now (`gpu.md` §3.1: the GPU was reset).
    pub(super) fn was_recovered(&mut self, action: Option<u64>) -> bool {
        let Some(action) = action else { return false };
        std::mem::replace(&mut self.wants_recovery, action != 0) && action == 0
    }

    /// Notes what this look saw, and adds to `gpu` what only several looks can tell; the link was not asked at each.
    pub(super) fn note(&mut self, gpu: &mut Gpu, link_is_new: bool, kept: &mut Kept, now: Instant) {
        let secs = |since: Instant| now.duration_since(since).as_secs();
        let is_hot = gpu.temperature_c.zip(gpu.temperature_max_c).is_some_and(|(now, most)| now >= most);
        self.hot_since = is_hot.then(|| self.hot_since.unwrap_or(now));
        gpu.hot_secs = self.hot_since.map(secs);
        let bits = gpu.clock_events.unwrap_or(0);
        self.slowed_since.retain(|event, _| bits & event.bit() != 0);
        for event in ClockEvent::ALL.into_iter().filter(|event| bits & event.bit() != 0) {
            self.slowed_since.entry(event).or_insert(now);
        }
        gpu.slowed_secs = self.slowed_since.iter().map(|(event, since)| (*event, secs(*since))).collect();
        gpu.replays_per_minute = gpu.traffic.replays.and_then(|replays| self.replays.per_minute(replays, now));
        if let Some(errors) = gpu.ecc.map(|ecc| ecc.corrected) {
            let (last_hour, minutes) = self.corrected.note(errors, now);
            gpu.corrected = Some(Corrected { last_hour, minutes });
        }
        let heat = gpu.clock_limit_seconds.get(&ClockLimit::Thermal).map(|seconds| Duration::from_secs_f64(*seconds));
        let heat = heat.and_then(|heat| u64::try_from(heat.as_millis()).ok());
        gpu.heat_limit_ms = heat.map(|heat| self.heat.note(heat, now).0);
        if let Some(link) = &mut gpu.nvlink {
            link.crc_per_minute = self.crc.per_minute(link.crc_errors, now);
            link.most_active = link.active.map(|active| kept.active_links(&gpu.uuid, active));
        }
        self.link(gpu, link_is_new, kept);
        if let Some(pages) = gpu.retired {
            gpu.retired_last_week = kept.pages(&gpu.uuid, pages.uncorrected);
        }
    }

    /// Learns what the link is when the GPU works, and sees when it is less (`gpu.md` §3.4).
    fn link(&mut self, gpu: &mut Gpu, is_new: bool, kept: &mut Kept) {
        let Some(link) = gpu.pcie else { return };
        let is_loaded = is_new
            && gpu.performance_state.is_some_and(|state| state <= LOADED_STATE)
            && gpu.utilization_mean.is_some_and(|share| share > LOADED_USE);
        if is_loaded {
            let (generation, width) = kept.link(&gpu.uuid, (link.generation, link.width));
            let is_below = link.generation < generation || link.width < width;
            self.below = if is_below { self.below.saturating_add(1) } else { 0 };
        }
        gpu.pcie_baseline = kept.known_link(&gpu.uuid).map(|(generation, width)| PcieBaseline {
            generation,
            width,
            looks_below: self.below,
            is_kept: kept.is_kept(),
        });
    }
}

/// What is seen of the Multi-Process Service on a GPU, once its processes have owners.
pub(super) fn mps(gpu: &Gpu, pids: Pids, kept: &mut Kept) -> Option<Mps> {
    let exclusive = gpu.exclusive?;
    let was_exclusive = kept.was_exclusive(&gpu.uuid, exclusive);
    let processes = gpu.processes.as_deref();
    let clients = processes.unwrap_or_default().iter().filter(|process| process.mps).count();
    let is_server = processes.map(|list| list.iter().any(|process| process.owner == Owner::MpsServer));
    // Who has clients has a server; who may not look cannot say that there is none.
    let server = if clients > 0 { Some(true) } else { is_server.filter(|_| pids == Pids::Host) };
    Some(Mps { was_exclusive, server, clients: u32::try_from(clients).unwrap_or(u32::MAX) })
}

/// How much a counter grew over a time.
#[derive(Debug)]
struct Growth {
    span: Duration,
    /// When it had which value, the oldest first; the first one may be older than the time.
    values: VecDeque<(Instant, u64)>,
}

impl Growth {
    fn over(span: Duration) -> Self {
        Self { span, values: VecDeque::new() }
    }

    /// By how much it grew, and in how many different minutes. A counter that goes back begins anew: the driver was restarted.
    fn note(&mut self, value: u64, now: Instant) -> (u64, u8) {
        if self.values.back().is_some_and(|(_, last)| *last > value) {
            self.values.clear();
        }
        if self.values.back().is_none_or(|(_, last)| *last != value) {
            self.values.push_back((now, value));
        }
        while self.values.get(1).is_some_and(|(at, _)| now.duration_since(*at) > self.span) {
            self.values.pop_front();
        }
        let Some((first, before)) = self.values.front().copied() else { return (0, 0) };
        let mut minutes: Vec<u64> =
            self.values.iter().skip(1).map(|(at, _)| at.duration_since(first).as_secs() / 60).collect();
        minutes.dedup();
        (value - before, u8::try_from(minutes.len()).unwrap_or(u8::MAX))
    }

    /// How fast it grew; none before a minute of it was seen.
    fn per_minute(&mut self, value: u64, now: Instant) -> Option<f64> {
        let (grown, _) = self.note(value, now);
        let since = self.values.front().map(|(first, _)| now.duration_since(*first).min(self.span))?;
        #[expect(clippy::cast_precision_loss, reason = "no counter grows by 2^53 in ten minutes")]
        let rate = grown as f64 * 60.0 / since.as_secs_f64();
        (since >= Duration::from_secs(60)).then_some(rate)
    }
}

/// The last minutes in which clocks were held down, with the reasons.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    minutes: VecDeque<(u64, BTreeSet<ClockEvent>)>,
    started: Option<Instant>,
}

impl Minutes {
    /// Notes the reasons of this moment and counts in how many of the last minutes each was seen.
    pub(super) fn note(&mut self, bits: u64, now: Instant) -> BTreeMap<ClockEvent, u8> {
        let minute = now.duration_since(*self.started.get_or_insert(now)).as_secs() / 60;
        let now: BTreeSet<ClockEvent> = ClockEvent::ALL.into_iter().filter(|event| bits & event.bit() != 0).collect();
        match self.minutes.back_mut().filter(|(last, _)| *last == minute) {
            Some((_, events)) => events.extend(now),
            None => self.minutes.push_back((minute, now)),
        }
        while self.minutes.front().is_some_and(|(first, _)| first + MINUTES <= minute) {
            self.minutes.pop_front();
        }
        let mut counts = BTreeMap::new();
        for event in self.minutes.iter().flat_map(|(_, events)| events) {
            *counts.entry(*event).or_insert(0) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_once_and_forgotten() {
        let (mut minutes, start) = (Minutes::default(), Instant::now());
        let mut note = |minute: u64, bits| minutes.note(bits, start + Duration::from_secs(60 * minute));
        note(0, 0x40);
        assert_eq!(note(0, 0x40), BTreeMap::from([(ClockEvent::HardwareThermal, 1)]));
        for minute in 1..6 {
            note(minute, 0x40);
        }
        assert_eq!(note(6, 0x80)[&ClockEvent::HardwareThermal], 6);
        assert_eq!(note(12, 0), BTreeMap::from([(ClockEvent::HardwareThermal, 3), (ClockEvent::PowerBrake, 1)]));
    }

    #[test]
    fn what_the_driver_wanted_is_done_once() {
        let mut history = History::default();
        let seen = [Some(0), Some(1), None, Some(2), Some(0), Some(0)].map(|action| history.was_recovered(action));
        assert_eq!(seen, [false, false, false, false, true, false]);
    }

    #[test]
    fn a_counter_grows_over_its_time_and_begins_anew_with_the_driver() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(minutes * 60);
        let mut errors = Growth::over(CORRECTED);
        assert_eq!(errors.note(100, at(0)), (0, 0));
        assert_eq!(errors.note(104, at(10)), (4, 1));
        assert_eq!(errors.note(104, at(20)), (4, 1));
        assert_eq!(errors.note(109, at(30)), (9, 2));
        // The first four are over an hour old.
        assert_eq!(errors.note(111, at(75)), (7, 2));
        assert_eq!(errors.note(3, at(80)), (0, 0));
        let mut replays = Growth::over(REPLAYS);
        assert_eq!(replays.per_minute(7, at(0)), None);
        assert_eq!(replays.per_minute(47, at(2)), Some(20.0));
    }

    #[test]
    fn a_link_is_judged_by_what_it_was_under_load() {
        let (mut history, mut kept) = (History::default(), Kept::in_memory());
        let mut look = |state, share, generation, width| {
            let pcie = Some(crate::evidence::Pcie { generation, width, max_generation: 3, max_width: 16 });
            let mut gpu = Gpu {
                uuid: "GPU-1".to_owned(),
                performance_state: Some(state),
                utilization_mean: Some(share),
                pcie,
                ..Gpu::default()
            };
            history.note(&mut gpu, true, &mut kept, Instant::now());
            gpu.pcie_baseline.map(|base| (base.generation, base.width, base.looks_below))
        };
        // Idle says nothing; a slot with eight lanes is what it is.
        assert_eq!(look(8, 0.0, 1, 8), None);
        assert_eq!(look(0, 0.9, 3, 8), Some((3, 8, 0)));
        assert_eq!(look(8, 0.0, 1, 8), Some((3, 8, 0)));
        assert_eq!(
            [look(0, 0.9, 3, 4), look(8, 0.0, 1, 4), look(0, 0.9, 3, 4)].map(|b| b.map(|b| b.2)),
            [Some(1), Some(1), Some(2)]
        );
        assert_eq!(look(0, 0.9, 3, 8), Some((3, 8, 0)));
    }
}
