//! What is asked of one GPU at a look, and what is remembered of its answers: how busy it was, how much energy was used, which
//! calls it does not support, and what is asked only now and then.

use std::collections::BTreeMap;
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
use super::history::{History, Minutes};
use super::processes::{self, Shares};
use super::raw;
use super::schedule::{Pace, Schedule};
use crate::evidence::{
    CallError, ClockEvent, ClockLimit, Ecc, Gpu, GpuState, NvLink, Pcie, RemappedRows, RetiredPages,
};

const MIB: u64 = 1024 * 1024;
/// How many links to other GPUs one has at most: `NVML_NVLINK_MAX_LINKS`.
const MAX_LINKS: u32 = 18;

/// The fields that are read in one batch (`gpu.md` §2.2): aggregate errors of the memory, retired pages, errors of the links to
/// other GPUs, the clocks' limits, the memory's temperature, replays, replaced rows, bytes, and what the driver wants done.
const FIELDS: [u32; 23] =
    [5, 6, 29, 30, 31, 38, 52, 59, 74, 75, 76, 77, 78, 79, 82, 94, 142, 143, 144, 145, 197, 198, 230];

/// The fields that count for how long clocks were held down, in ns (`gpu.md` §2.2).
const LIMITS: [(u32, ClockLimit); 6] = [
    (74, ClockLimit::Power),
    (75, ClockLimit::Thermal),
    (76, ClockLimit::SyncBoost),
    (77, ClockLimit::BoardLimit),
    (78, ClockLimit::LowUtilization),
    (79, ClockLimit::Reliability),
];

/// What is remembered of one GPU.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) history: History,
    /// The answers of the last look.
    kept: Gpu,
    /// When what is not asked each time was asked.
    asked: BTreeMap<Tier, Instant>,
    cores: Engine,
    bandwidth: Engine,
    shares: Shares,
    /// When the card's own storage was looked at, and whether it was well.
    inforom: Option<(Instant, Option<bool>)>,
    energy: Option<(u64, Instant)>,
    /// Calls, and fields of the batch, and when the GPU said that it does not support them.
    unsupported: BTreeMap<&'static str, Instant>,
    unsupported_fields: BTreeMap<u32, Instant>,
    minutes: Minutes,
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

/// One GPU that is being asked.
pub(super) struct Asking<'a> {
    nvml: &'a Nvml,
    device: &'a Device<'a>,
    memory: &'a mut Memory,
    schedule: Schedule,
    pace: &'a Pace,
    /// What its answers say about the GPU itself.
    pub(super) state: GpuState,
    /// What failed that it does support.
    pub(super) errors: BTreeMap<String, CallError>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        nvml: &'a Nvml,
        device: &'a Device<'a>,
        memory: &'a mut Memory,
        schedule: Schedule,
        pace: &'a Pace,
    ) -> Self {
        Self { nvml, device, memory, schedule, pace, state: GpuState::Up, errors: BTreeMap::new() }
    }

    /// One look; says too whether the link was asked, which is not at each.
    pub(super) fn look(&mut self, now: Instant) -> (Gpu, bool) {
        let mut gpu = std::mem::take(&mut self.memory.kept);
        self.utilization(&mut gpu);
        self.figures(&mut gpu);
        self.clocks(&mut gpu, now);
        if self.is_due(Tier::Limits) {
            self.limits(&mut gpu);
        }
        self.health(&mut gpu);
        gpu.inforom_is_well = self.inforom();
        let link_is_new = self.is_due(Tier::Users);
        if link_is_new {
            self.users(&mut gpu);
        }
        if self.state == GpuState::Up {
            self.memory.kept = gpu.clone();
        } else {
            // What it said before it failed says nothing about later.
            self.memory.forget_answers();
        }
        (gpu, link_is_new)
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
    pub(super) fn gather(&mut self) -> [Option<f64>; 2] {
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
    pub(super) fn clock_events(&mut self, now: Instant) -> (Option<u64>, BTreeMap<ClockEvent, u8>) {
        let nvml = self.nvml;
        let events = self.ask("clock events", |device| raw::clock_events(nvml, device));
        (events, self.memory.minutes.note(events.unwrap_or(0), now))
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
        let (nvml, ecc) = (self.nvml, self.ask("ecc mode", Device::is_ecc_enabled));
        gpu.ecc = ecc.map(|ecc| Ecc {
            enabled: ecc.currently_enabled,
            pending: ecc.pending_enabled,
            sram_exceeded: self.ask("sram errors", |device| raw::sram_exceeded(nvml, device)),
            ..Ecc::default()
        });
        gpu.bus_id = self.ask("bus", Device::pci_info).map(|info| info.bus_id);
        gpu.minor = self.ask("minor", Device::minor_number);
    }

    fn health(&mut self, gpu: &mut Gpu) {
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
        let active = gpu.nvlink.and_then(|link| link.active);
        gpu.nvlink = field(38).map(|crc_errors| NvLink {
            crc_errors,
            replays: field(52).unwrap_or(0),
            recoveries: field(59).unwrap_or(0),
            active,
            ..NvLink::default()
        });
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
        if let Some(link) = &mut gpu.nvlink {
            link.active = self.ask("nvlink", active_links);
        }
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
    pub(super) fn forget_answers(&mut self) {
        self.kept = Gpu::default();
        self.asked.clear();
    }
}

/// How many of the links to other GPUs are active.
fn active_links(device: &Device<'_>) -> Result<u32, NvmlError> {
    let mut active = 0;
    for link in 0..MAX_LINKS {
        match device.link_wrapper_for(link).is_active() {
            Ok(is_active) => active += u32::from(is_active),
            // It has no more.
            Err(NvmlError::NotSupported | NvmlError::InvalidArg) if link > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(active)
}

/// What the error says about the GPU itself.
pub(super) fn state_of(error: &NvmlError) -> Option<GpuState> {
    match error {
        // 28 is what newer drivers say of a GPU that is not there (`gpu.md` §6.2).
        NvmlError::GpuLost | NvmlError::UnexpectedVariant(28) => Some(GpuState::Lost),
        NvmlError::ResetRequired => Some(GpuState::ResetRequired),
        _ => None,
    }
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
