//! One look at every GPU. Remembers between looks how busy it was, how much energy was used, which calls a GPU does not
//! support, what is asked only now and then, and in which minutes its clocks were held down.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use nvml_wrapper::enum_wrappers::device::{
    Clock, ComputeMode, EccCounter, MemoryError, Sampling, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::{Device, Nvml};
use tokio::time::Instant;

use super::busy::{Busy, GAP};
use super::events::Events;
use super::history::{self, Counters, History};
use super::kept::Kept;
use super::processes::{self, Owners, Shares};
use super::raw;
use super::schedule::{Pace, Schedule};
use crate::evidence::{
    CallError, ClockEvent, ClockLimit, DriverState, Ecc, Gpu, GpuDriver, GpuState, NvLink, Pcie, RemappedRows,
    RetiredPages,
};

const MIB: u64 = 1024 * 1024;
/// How many minutes of throttling are remembered (`gpu.md` §3.2: 6 of 10).
const MINUTES: u64 = 10;

/// The fields that are read in one batch (`gpu.md` §2.2): aggregate errors of the memory, retired pages, errors of the links to
/// other GPUs, the clocks' limits, the memory's temperature, replays, replaced rows, bytes, and what the driver wants done.
const FIELDS: [u32; 23] =
    [5, 6, 29, 30, 31, 38, 52, 59, 74, 75, 76, 77, 78, 79, 82, 94, 142, 143, 144, 145, 197, 198, 230];

/// Looks at the GPUs.
pub(super) struct Sampler {
    library: Option<PathBuf>,
    schedule: Schedule,
    pace: Pace,
    nvml: Option<Nvml>,
    /// The version of the driver that everything below was learnt of.
    version: Option<String>,
    /// The GPUs seen so far by their place: what is lost no longer says who it is.
    places: BTreeMap<u32, (String, String)>,
    memories: BTreeMap<String, Memory>,
    owners: Owners,
    kept: Kept,
    /// The last look and when it was, for a driver that is not to be asked so soon again.
    last: Option<(Instant, GpuDriver, Vec<Gpu>)>,
}

/// What is remembered of one GPU.
#[derive(Default)]
struct Memory {
    /// The answers of the last look.
    kept: Gpu,
    /// When what is not asked each time was asked.
    asked: BTreeMap<Tier, Instant>,
    cores: Engine,
    bandwidth: Engine,
    shares: Shares,
    history: History,
    /// When the card's own storage was looked at, and whether it was well.
    inforom: Option<(Instant, Option<bool>)>,
    energy: Option<(u64, Instant)>,
    /// Calls, and fields of the batch, and when the GPU said that it does not support them.
    unsupported: BTreeMap<&'static str, Instant>,
    unsupported_fields: BTreeMap<u32, Instant>,
    /// The minutes in which clocks were held down, with the reasons.
    minutes: VecDeque<(u64, BTreeSet<ClockEvent>)>,
    started: Option<Instant>,
}

/// The use of an engine, and until when it is known.
#[derive(Default)]
struct Engine {
    busy: Busy,
    until: Option<Instant>,
}

/// What is asked together, and less often than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Users,
    Limits,
}

impl Sampler {
    pub(super) fn new(library: Option<PathBuf>, proc: PathBuf, schedule: Schedule, kept: Kept) -> Self {
        Self {
            library,
            schedule,
            pace: Pace::new(),
            nvml: None,
            version: None,
            places: BTreeMap::new(),
            memories: BTreeMap::new(),
            owners: Owners::new(proc),
            kept,
            last: None,
        }
    }

    /// How long the driver may be left alone before its samples are lost.
    pub(super) fn rest(&self) -> Duration {
        self.pace.of(self.schedule.samples)
    }

    /// One look.
    pub(super) fn look(&mut self, events: &Events, now: Instant) -> (GpuDriver, Vec<Gpu>) {
        if let Some((at, driver, gpus)) = &self.last
            && self.pace.is_slowed()
            && at.elapsed() < self.rest()
        {
            let known = |gpu: &Gpu| Gpu { xids: events.of(&gpu.uuid), ..gpu.clone() };
            return (driver.clone(), gpus.iter().map(known).collect());
        }
        let nvml = match self.nvml.take().map_or_else(|| self.init(), Ok) {
            Ok(nvml) => nvml,
            Err(error) => return self.down(&error),
        };
        let count = match nvml.device_count() {
            Ok(count) => count,
            // It went away, or was restarted: the next look begins anew.
            Err(error) => return self.down(&error),
        };
        let mut driver = GpuDriver {
            state: DriverState::Up,
            version: nvml.sys_driver_version().ok(),
            cuda: nvml.sys_cuda_driver_version().ok().map(|v| format!("{}.{}", v / 1000, v % 1000 / 10)),
            detail: None,
            gpus: count,
            ..GpuDriver::default()
        };
        if self.version != driver.version {
            // Another driver may support what this one did not, and counts anew.
            self.memories.clear();
            self.version.clone_from(&driver.version);
        }
        let before = Instant::now();
        let mut gpus: Vec<Gpu> = (0..count).map(|index| self.gpu(&nvml, index, events, now)).collect();
        // The first look also wakes the GPUs up.
        if self.last.is_some() {
            self.pace.note(before.elapsed(), &self.schedule);
        }
        self.owners.tell(&mut driver, &mut gpus, now);
        for gpu in &mut gpus {
            gpu.mps = history::mps(gpu, driver.pids, &mut self.kept);
        }
        self.kept.save();
        self.nvml = Some(nvml);
        // What is shown again is no window of its own.
        let again = |gpu: &Gpu| Gpu { busy_seconds: None, window_seconds: None, ..gpu.clone() };
        self.last = Some((before, driver.clone(), gpus.iter().map(again).collect()));
        (driver, gpus)
    }

    /// Takes what the driver would forget, between two looks.
    pub(super) fn drain(&mut self) {
        let Some(nvml) = &self.nvml else { return };
        for index in self.places.keys() {
            let seen = nvml.device_by_index(*index).and_then(|device| Ok((device.uuid()?, device)));
            // A look says what is wrong.
            let Ok((uuid, device)) = seen else { continue };
            let Some(memory) = self.memories.get_mut(&uuid) else { continue };
            let mut round = Asking {
                nvml,
                device: &device,
                memory,
                schedule: self.schedule,
                pace: &self.pace,
                state: GpuState::Up,
                errors: BTreeMap::new(),
            };
            round.gather();
            round.clock_events(Instant::now());
        }
    }

    fn init(&self) -> Result<Nvml, NvmlError> {
        match &self.library {
            Some(library) => Nvml::builder().lib_path(library.as_os_str()).init(),
            None => Nvml::init(),
        }
    }

    fn down(&mut self, error: &NvmlError) -> (GpuDriver, Vec<Gpu>) {
        self.last = None;
        (down(error), Vec::new())
    }

    fn gpu(&mut self, nvml: &Nvml, index: u32, events: &Events, now: Instant) -> Gpu {
        let seen = nvml.device_by_index(index).and_then(|device| Ok((device.uuid()?, device.name()?, device)));
        let (uuid, name, device) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let (uuid, name) =
                    self.places.get(&index).cloned().unwrap_or_else(|| (format!("index-{index}"), "GPU".to_owned()));
                if let Some(memory) = self.memories.get_mut(&uuid) {
                    memory.forget_answers();
                }
                let xids = events.of(&uuid);
                let state = state_of(&error).unwrap_or(GpuState::Lost);
                return Gpu { uuid, name, index, state, xids, ..Gpu::default() };
            }
        };
        self.places.insert(index, (uuid.clone(), name.clone()));
        let memory = self.memories.entry(uuid.clone()).or_default();
        let xids = events.of(&uuid);
        let mut look = Asking {
            nvml,
            device: &device,
            memory,
            schedule: self.schedule,
            pace: &self.pace,
            state: GpuState::Up,
            errors: BTreeMap::new(),
        };
        let (gpu, counters) = look.look(now);
        let (state, errors) = (look.state, look.errors);
        let mut gpu = Gpu { uuid, name, index, state, errors, xids, ..gpu };
        memory.history.note(&mut gpu, counters, &mut self.kept, now);
        gpu
    }
}

/// One GPU that is being asked.
struct Asking<'a> {
    nvml: &'a Nvml,
    device: &'a Device<'a>,
    memory: &'a mut Memory,
    schedule: Schedule,
    pace: &'a Pace,
    state: GpuState,
    errors: BTreeMap<String, CallError>,
}

impl<'a> Asking<'a> {
    fn look(&mut self, now: Instant) -> (Gpu, Counters) {
        let mut gpu = std::mem::take(&mut self.memory.kept);
        self.utilization(&mut gpu);
        self.figures(&mut gpu);
        self.clocks(&mut gpu, now);
        if self.is_due(Tier::Limits) {
            self.limits(&mut gpu);
        }
        let mut counters = self.health(&mut gpu);
        gpu.inforom_is_well = self.inforom();
        counters.link_is_new = self.is_due(Tier::Users);
        if counters.link_is_new {
            self.users(&mut gpu);
        }
        if self.state == GpuState::Up {
            self.memory.kept = gpu.clone();
        } else {
            // What it said before it failed says nothing about later.
            self.memory.forget_answers();
        }
        (gpu, counters)
    }

    /// Whether it is time to ask for this again.
    fn is_due(&mut self, tier: Tier) -> bool {
        let interval = match tier {
            Tier::Users => self.schedule.users,
            Tier::Limits => self.schedule.limits,
        };
        let due = self.memory.asked.get(&tier).is_none_or(|asked| asked.elapsed() >= self.pace.of(interval));
        if due {
            self.memory.asked.insert(tier, Instant::now());
        }
        due
    }

    /// The answer to one call; none where the GPU is known not to support it.
    fn ask<T>(&mut self, call: &'static str, ask: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>) -> Option<T> {
        if self.memory.unsupported.get(call).is_some_and(|since| since.elapsed() < self.schedule.unsupported) {
            return None;
        }
        match ask(self.device) {
            Ok(value) => Some(value),
            Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_)) => {
                self.memory.unsupported.insert(call, Instant::now());
                None
            }
            Err(error) => {
                self.state = state_of(&error).unwrap_or(self.state);
                let error = match error {
                    // There are none, which is no failure.
                    NvmlError::NotFound => return None,
                    NvmlError::InsufficientPower => CallError::Power,
                    NvmlError::IrqIssue => CallError::Interrupt,
                    _ => CallError::Other,
                };
                self.errors.insert(call.to_owned(), error);
                None
            }
        }
    }

    fn utilization(&mut self, gpu: &mut Gpu) {
        let [point, memory_point] = self.gather();
        let window = self.memory.cores.busy.take();
        gpu.utilization_mean = window.map(|window| window.mean).or(point);
        gpu.utilization_max = window.map(|window| window.max).or(point);
        let seconds = window.and_then(|window| window.seconds);
        (gpu.busy_seconds, gpu.window_seconds) = (seconds.map(|(busy, _)| busy), seconds.map(|(_, covered)| covered));
        let (busy, covered) = self.memory.cores.busy.total();
        let is_covered = covered > 0.0;
        gpu.busy_total_seconds = is_covered.then_some(busy);
        gpu.covered_total_seconds = is_covered.then_some(covered);
        let window = self.memory.bandwidth.busy.take();
        gpu.memory_utilization_mean = window.map(|window| window.mean).or(memory_point);
    }

    /// Drains the driver's samples: means and peaks between two looks, which one point cannot give (`gpu.md` §5.2). Where
    /// the driver has none, as with an idle GPU, a point stands for that time; says what it is, for the GPU and its memory.
    fn gather(&mut self) -> [Option<f64>; 2] {
        let found = [
            self.samples("gpu samples", Sampling::GpuUtilization, |memory| &mut memory.cores),
            self.samples("memory samples", Sampling::MemoryUtilization, |memory| &mut memory.bandwidth),
        ];
        if found == [true, true] {
            return [None, None];
        }
        let share = |percent: u32| (percent <= 100).then(|| f64::from(percent) / 100.0);
        let point = self.ask("utilization", Device::utilization_rates);
        let points = point.map_or([None, None], |point| [share(point.gpu), share(point.memory)]);
        let engines = [&mut self.memory.cores, &mut self.memory.bandwidth];
        for ((engine, point), found) in engines.into_iter().zip(points).zip(found) {
            if !found {
                engine.stand_in(point);
            }
        }
        points
    }

    /// Adds the samples since the last round; says whether there were any.
    fn samples(&mut self, call: &'static str, kind: Sampling, engine: fn(&mut Memory) -> &mut Engine) -> bool {
        let last = engine(self.memory).busy.last;
        let Some(samples) = self.ask(call, |device| device.samples(kind, last)) else { return false };
        let shares = samples.iter().filter_map(|sample| Some((sample.timestamp, share_of(&sample.value)?)));
        let shares: Vec<(u64, f64)> = shares.filter(|(at, _)| *at > last.unwrap_or(0)).collect();
        if shares.is_empty() {
            return false;
        }
        let engine = engine(self.memory);
        engine.busy.add(&shares);
        engine.until = Some(Instant::now());
        true
    }

    fn figures(&mut self, gpu: &mut Gpu) {
        let nvml = self.nvml;
        let memory = self.ask("memory", |device| {
            let new = device.memory_info().map(|info| raw::MemoryUse {
                total: info.total,
                used: info.used,
                free: info.free,
                reserved: Some(info.reserved),
            });
            // Before R510 there is only the old function.
            new.or_else(|error| match error {
                NvmlError::FailedToLoadSymbol(_) => raw::memory(nvml, device),
                error => Err(error),
            })
        });
        gpu.memory_used_mib = memory.map(|memory| memory.used / MIB);
        gpu.memory_total_mib = memory.map(|memory| memory.total / MIB);
        gpu.memory_free_mib = memory.map(|memory| memory.free / MIB);
        gpu.memory_reserved_mib = memory.and_then(|memory| memory.reserved).map(|reserved| reserved / MIB);
        gpu.temperature_c = self.ask("temperature", |device| device.temperature(TemperatureSensor::Gpu)).map(i64::from);
        let margin = self.ask("temperature margin", |device| raw::temperature_margin(nvml, device));
        gpu.temperature_margin_c = margin.map(i64::from);
        let now = Instant::now();
        let energy = self.ask("energy", Device::total_energy_consumption);
        let mean = energy.zip(self.memory.energy).and_then(|(energy, (before, since))| {
            let span = now.duration_since(since);
            // A counter that went back was set to zero with the driver.
            let used = Duration::from_millis(energy.checked_sub(before)?).as_secs_f64();
            (span >= Duration::from_millis(100)).then(|| used / span.as_secs_f64())
        });
        gpu.power_w = mean.or_else(|| self.ask("power", Device::power_usage).map(watts));
        gpu.energy_j = energy.map(|mj| Duration::from_millis(mj).as_secs_f64());
        self.memory.energy = energy.map(|energy| (energy, now));
    }

    fn clocks(&mut self, gpu: &mut Gpu, now: Instant) {
        gpu.sm_mhz = self.ask("sm clock", |device| device.clock_info(Clock::SM));
        gpu.memory_mhz = self.ask("memory clock", |device| device.clock_info(Clock::Memory));
        let state = self.ask("performance state", Device::performance_state).map(|state| state.as_c());
        gpu.performance_state = state.and_then(|state| u8::try_from(state).ok());
        (gpu.clock_events, gpu.clock_event_minutes) = self.clock_events(now);
    }

    /// Why clocks are not higher right now, and in how many of the last minutes each reason was seen.
    fn clock_events(&mut self, now: Instant) -> (Option<u64>, BTreeMap<ClockEvent, u8>) {
        let nvml = self.nvml;
        let events = self.ask("clock events", |device| raw::clock_events(nvml, device));
        (events, self.memory.minutes(events.unwrap_or(0), now))
    }

    fn limits(&mut self, gpu: &mut Gpu) {
        for (threshold, name, place) in [
            (TemperatureThreshold::GpuMax, "maximum temperature", &mut gpu.temperature_max_c),
            (TemperatureThreshold::Slowdown, "slowdown temperature", &mut gpu.temperature_slowdown_c),
            (TemperatureThreshold::Shutdown, "shutdown temperature", &mut gpu.temperature_shutdown_c),
        ] {
            *place = self.ask(name, |device| device.temperature_threshold(threshold)).map(i64::from);
        }
        gpu.power_limit_w = self.ask("power limit", Device::enforced_power_limit).map(watts);
        gpu.sm_max_mhz = self.ask("highest sm clock", |device| device.max_clock_info(Clock::SM));
        gpu.memory_max_mhz = self.ask("highest memory clock", |device| device.max_clock_info(Clock::Memory));
        gpu.persistence = self.ask("persistence", Device::is_in_persistent_mode);
        let mode = self.ask("compute mode", Device::compute_mode);
        gpu.exclusive = mode.map(|mode| mode == ComputeMode::ExclusiveProcess);
        let ecc = self.ask("ecc mode", Device::is_ecc_enabled);
        gpu.ecc = ecc.map(|ecc| Ecc { enabled: ecc.currently_enabled, pending: ecc.pending_enabled, ..Ecc::default() });
        gpu.bus_id = self.ask("bus", Device::pci_info).map(|info| info.bus_id);
        gpu.minor = self.ask("minor", Device::minor_number);
    }

    /// Says too what only its growth says something of.
    fn health(&mut self, gpu: &mut Gpu) -> Counters {
        let fields = self.fields();
        let field = |id: u32| fields.get(&id).copied();
        if let Some(ecc) = &mut gpu.ecc {
            let mut count = |call, kind| self.ask(call, |device| device.total_ecc_errors(kind, EccCounter::Volatile));
            ecc.corrected = count("corrected errors", MemoryError::Corrected).unwrap_or(ecc.corrected);
            ecc.uncorrected = count("uncorrected errors", MemoryError::Uncorrected).unwrap_or(ecc.uncorrected);
            (ecc.corrected_ever, ecc.uncorrected_ever) = (field(5), field(6));
        }
        gpu.retired = field(29).zip(field(30)).zip(field(31)).map(|((corrected, uncorrected), pending)| RetiredPages {
            corrected,
            uncorrected,
            pending: pending != 0,
        });
        gpu.clock_limit_seconds = LIMITS
            .iter()
            .filter_map(|(id, limit)| Some((*limit, Duration::from_nanos(field(*id)?).as_secs_f64())))
            .collect();
        gpu.memory_temperature_c = field(82).and_then(|celsius| i64::try_from(celsius).ok());
        gpu.traffic.replays = field(94);
        (gpu.traffic.sent_bytes, gpu.traffic.received_bytes) = (field(197), field(198));
        gpu.remapped = field(142).zip(field(143)).map(|(corrected, uncorrected)| RemappedRows {
            corrected,
            uncorrected,
            pending: field(144).is_some_and(|rows| rows != 0),
            failed: field(145).is_some_and(|rows| rows != 0),
        });
        gpu.recovery_action = field(230);
        gpu.nvlink = field(38).map(|crc_errors| NvLink {
            crc_errors,
            crc_per_minute: None,
            replays: field(52).unwrap_or(0),
            recoveries: field(59).unwrap_or(0),
        });
        Counters { replays: field(94), heat_ns: field(75), link_is_new: false }
    }

    /// Whether the card's own storage is well, which is looked at as seldom as what is not supported: nobody says what it costs.
    fn inforom(&mut self) -> Option<bool> {
        let is_recent = |(at, _): &(Instant, Option<bool>)| at.elapsed() < self.schedule.unsupported;
        if let Some((_, is_well)) = self.memory.inforom.filter(is_recent) {
            return is_well;
        }
        let is_well = self.ask("inforom", |device| match device.validate_info_rom() {
            Ok(()) => Ok(true),
            Err(NvmlError::CorruptedInfoROM) => Ok(false),
            Err(error) => Err(error),
        });
        self.memory.inforom = Some((Instant::now(), is_well));
        is_well
    }

    /// The batch of fields: those that the GPU supports.
    fn fields(&mut self) -> BTreeMap<u32, u64> {
        let left = |since: &Instant| since.elapsed() < self.schedule.unsupported;
        let is_left_out = |id: &u32| self.memory.unsupported_fields.get(id).is_some_and(left);
        let ids: Vec<u32> = FIELDS.iter().copied().filter(|id| !is_left_out(id)).collect();
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let batch: Vec<FieldId> = ids.iter().copied().map(FieldId).collect();
        let answers = self.ask("fields", |device| device.field_values_for(&batch)).unwrap_or_default();
        let mut fields = BTreeMap::new();
        // By their place: drivers may number fields differently (`gpu.md` §6.4).
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer.and_then(|field| field.value) {
                Ok(value) => fields.extend(number_of(&value).map(|value| (id, value))),
                Err(NvmlError::NotSupported | NvmlError::InvalidArg) => {
                    self.memory.unsupported_fields.insert(id, Instant::now());
                }
                Err(_) => {}
            }
        }
        fields
    }

    fn users(&mut self, gpu: &mut Gpu) {
        gpu.pcie = self.ask("pcie", |device| {
            Ok(Pcie {
                generation: device.current_pcie_link_gen()?,
                width: device.current_pcie_link_width()?,
                max_generation: device.max_pcie_link_gen()?,
                max_width: device.max_pcie_link_width()?,
            })
        });
        let share = |percent: u32| f64::from(percent.min(100)) / 100.0;
        gpu.encoder_utilization = self.ask("encoder", Device::encoder_utilization).map(|used| share(used.utilization));
        gpu.decoder_utilization = self.ask("decoder", Device::decoder_utilization).map(|used| share(used.utilization));
        self.processes(gpu);
    }

    fn processes(&mut self, gpu: &mut Gpu) {
        let nvml = self.nvml;
        let parts = self.ask("parts", |device| processes::parts(nvml, device)).flatten();
        let asked = self.ask("processes", |device| processes::list(nvml, device, parts.as_deref()));
        gpu.processes = asked;
        if let Some(processes) = gpu.processes.as_mut() {
            let mut shares = std::mem::take(&mut self.memory.shares);
            self.ask("process utilization", |device| shares.note(device, processes));
            self.memory.shares = shares;
        }
        gpu.instances = parts.map(|parts| parts.into_iter().map(|(_, instance)| instance).collect());
    }
}

/// The fields that count for how long clocks were held down, in ns (`gpu.md` §2.2).
const LIMITS: [(u32, ClockLimit); 6] = [
    (74, ClockLimit::Power),
    (75, ClockLimit::Thermal),
    (76, ClockLimit::SyncBoost),
    (77, ClockLimit::BoardLimit),
    (78, ClockLimit::LowUtilization),
    (79, ClockLimit::Reliability),
];

impl Engine {
    /// Lets a point stand for the time in which the driver had no samples. Right after some it had no time to make more.
    fn stand_in(&mut self, point: Option<f64>) {
        let now = Instant::now();
        let since = self.until.map(|until| now.duration_since(until));
        if since.is_none_or(|since| since >= GAP) {
            if let Some((share, since)) = point.zip(since) {
                self.busy.add_point(share, since);
            }
            self.until = Some(now);
        }
    }
}

impl Memory {
    /// So that everything is asked again.
    fn forget_answers(&mut self) {
        self.kept = Gpu::default();
        self.asked.clear();
    }

    /// Notes the reasons of this moment and counts in how many of the last minutes each was seen.
    fn minutes(&mut self, bits: u64, now: Instant) -> BTreeMap<ClockEvent, u8> {
        let minute = now.duration_since(*self.started.get_or_insert(now)).as_secs() / 60;
        self.note(minute, bits)
    }

    fn note(&mut self, minute: u64, bits: u64) -> BTreeMap<ClockEvent, u8> {
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

/// What the error says about the GPU itself.
fn state_of(error: &NvmlError) -> Option<GpuState> {
    match error {
        // 28 is what newer drivers say of a GPU that is not there (`gpu.md` §6.2).
        NvmlError::GpuLost | NvmlError::UnexpectedVariant(28) => Some(GpuState::Lost),
        NvmlError::ResetRequired => Some(GpuState::ResetRequired),
        _ => None,
    }
}

fn down(error: &NvmlError) -> GpuDriver {
    let state = match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => DriverState::NoLibrary,
        NvmlError::DriverNotLoaded => DriverState::NotLoaded,
        NvmlError::LibRmVersionMismatch => DriverState::Mismatch,
        NvmlError::NoPermission | NvmlError::OperatingSystem | NvmlError::Unknown => DriverState::NoAccess,
        _ => DriverState::Failed,
    };
    GpuDriver { state, detail: Some(error.to_string()), ..GpuDriver::default() }
}

fn number_of(value: &SampleValue) -> Option<u64> {
    match value {
        SampleValue::U32(value) => Some(u64::from(*value)),
        SampleValue::U64(value) => Some(*value),
        SampleValue::I64(value) => u64::try_from(*value).ok(),
        SampleValue::F64(_) => None,
    }
}

fn watts(milliwatts: u32) -> f64 {
    f64::from(milliwatts) / 1000.0
}

/// A share of time that was given in percent; drivers write junk at times (`gpu.md` §5.2).
fn share_of(value: &SampleValue) -> Option<f64> {
    let percent = number_of(value).and_then(|percent| u32::try_from(percent).ok())?;
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_counted_once_and_forgotten() {
        let mut memory = Memory::default();
        memory.note(0, 0x40);
        assert_eq!(memory.note(0, 0x40), BTreeMap::from([(ClockEvent::HardwareThermal, 1)]));
        for minute in 1..6 {
            memory.note(minute, 0x40);
        }
        assert_eq!(memory.note(6, 0x80)[&ClockEvent::HardwareThermal], 6);
        assert_eq!(memory.note(12, 0), BTreeMap::from([(ClockEvent::HardwareThermal, 3), (ClockEvent::PowerBrake, 1)]));
    }
}
