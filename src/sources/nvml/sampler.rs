//! One look at every GPU. Remembers between looks which samples were seen, how much energy was used, which calls a GPU
//! does not support, and in which minutes its clocks were held down.

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

use super::events::Events;
use super::processes::{self, Owners, Shares};
use super::raw;
use crate::evidence::{ClockEvent, DriverState, Ecc, Gpu, GpuDriver, GpuState, Pcie, RemappedRows, RetiredPages};

const MIB: u64 = 1024 * 1024;
/// How many minutes of throttling are remembered (`gpu.md` §3.2: 6 of 10).
const MINUTES: u64 = 10;
/// How long a call that a GPU does not support is not made again.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The fields that are read in one batch (`gpu.md` §2.2).
const FIELDS: [FieldId; 8] =
    [FieldId(29), FieldId(30), FieldId(31), FieldId(142), FieldId(143), FieldId(144), FieldId(145), FieldId(230)];

/// Looks at the GPUs.
pub(super) struct Sampler {
    library: Option<PathBuf>,
    nvml: Option<Nvml>,
    /// The GPUs seen so far by their place: what is lost no longer says who it is.
    places: BTreeMap<u32, (String, String)>,
    memories: BTreeMap<String, Memory>,
    owners: Owners,
}

/// What is remembered of one GPU.
#[derive(Default)]
struct Memory {
    last_sample: BTreeMap<u8, u64>,
    shares: Shares,
    energy: Option<(u64, Instant)>,
    unsupported: BTreeMap<&'static str, Instant>,
    /// The minutes in which clocks were held down, with the reasons.
    minutes: VecDeque<(u64, BTreeSet<ClockEvent>)>,
    started: Option<Instant>,
}

impl Sampler {
    pub(super) fn new(library: Option<PathBuf>, proc: PathBuf) -> Self {
        let owners = Owners::new(proc);
        Self { library, nvml: None, places: BTreeMap::new(), memories: BTreeMap::new(), owners }
    }

    /// One look.
    pub(super) fn look(&mut self, events: &Events, now: Instant) -> (GpuDriver, Vec<Gpu>) {
        let nvml = match self.nvml.take().map_or_else(|| self.init(), Ok) {
            Ok(nvml) => nvml,
            Err(error) => return (down(&error), Vec::new()),
        };
        let count = match nvml.device_count() {
            Ok(count) => count,
            // It went away, or was restarted: the next look begins anew.
            Err(error) => return (down(&error), Vec::new()),
        };
        let mut driver = GpuDriver {
            state: DriverState::Up,
            version: nvml.sys_driver_version().ok(),
            cuda: nvml.sys_cuda_driver_version().ok().map(|v| format!("{}.{}", v / 1000, v % 1000 / 10)),
            detail: None,
            gpus: count,
            ..GpuDriver::default()
        };
        let mut gpus: Vec<Gpu> = (0..count).map(|index| self.gpu(&nvml, index, events)).collect();
        self.owners.tell(&mut driver, &mut gpus, now);
        self.nvml = Some(nvml);
        (driver, gpus)
    }

    fn init(&self) -> Result<Nvml, NvmlError> {
        match &self.library {
            Some(library) => Nvml::builder().lib_path(library.as_os_str()).init(),
            None => Nvml::init(),
        }
    }

    fn gpu(&mut self, nvml: &Nvml, index: u32, events: &Events) -> Gpu {
        let seen = nvml.device_by_index(index).and_then(|device| Ok((device.uuid()?, device.name()?, device)));
        let (uuid, name, device) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let (uuid, name) =
                    self.places.get(&index).cloned().unwrap_or_else(|| (format!("index-{index}"), "GPU".to_owned()));
                let xids = events.of(&uuid);
                let state = state_of(&error).unwrap_or(GpuState::Lost);
                return Gpu { uuid, name, index, state, xids, ..Gpu::default() };
            }
        };
        self.places.insert(index, (uuid.clone(), name.clone()));
        let memory = self.memories.entry(uuid.clone()).or_default();
        let xids = events.of(&uuid);
        let mut look = Asking { nvml, device: &device, memory, state: GpuState::Up };
        let gpu = look.look();
        Gpu { uuid, name, index, xids, state: look.state, ..gpu }
    }
}

/// One GPU that is being asked.
struct Asking<'a> {
    nvml: &'a Nvml,
    device: &'a Device<'a>,
    memory: &'a mut Memory,
    state: GpuState,
}

impl<'a> Asking<'a> {
    fn look(&mut self) -> Gpu {
        let mut gpu = Gpu::default();
        self.utilization(&mut gpu);
        self.figures(&mut gpu);
        self.health(&mut gpu);
        self.processes(&mut gpu);
        let nvml = self.nvml;
        let margin = self.ask("temperature margin", |device| raw::temperature_margin(nvml, device));
        gpu.temperature_margin_c = margin.map(i64::from);
        gpu
    }

    /// The answer to one call; none where the GPU is known not to support it.
    fn ask<T>(&mut self, call: &'static str, ask: impl FnOnce(&Device<'a>) -> Result<T, NvmlError>) -> Option<T> {
        if self.memory.unsupported.get(call).is_some_and(|since| since.elapsed() < PATIENCE) {
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
                None
            }
        }
    }

    /// Drains the driver's samples: means and peaks between two looks, which one point cannot give (`gpu.md` §5.2).
    fn utilization(&mut self, gpu: &mut Gpu) {
        let point = self.ask("utilization", Device::utilization_rates);
        let share = |percent: u32| f64::from(percent) / 100.0;
        if let Some(window) = self.samples(Sampling::GpuUtilization, 0) {
            gpu.utilization_mean = Some(window.mean);
            gpu.utilization_max = Some(window.max);
            gpu.busy_seconds = Some(window.mean * window.seconds);
            gpu.window_seconds = Some(window.seconds);
        } else {
            gpu.utilization_mean = point.as_ref().map(|rates| share(rates.gpu));
            gpu.utilization_max = gpu.utilization_mean;
        }
        gpu.memory_utilization_mean = match self.samples(Sampling::MemoryUtilization, 1) {
            Some(window) => Some(window.mean),
            None => point.map(|rates| share(rates.memory)),
        };
    }

    /// The samples since the last look. None where the driver has none, as with an idle GPU.
    fn samples(&mut self, kind: Sampling, slot: u8) -> Option<Window> {
        let last = self.memory.last_sample.get(&slot).copied();
        let name = if slot == 0 { "gpu samples" } else { "memory samples" };
        let mut samples = self.ask(name, |device| device.samples(kind, last))?;
        samples.retain(|sample| sample.timestamp > last.unwrap_or(0));
        samples.sort_by_key(|sample| sample.timestamp);
        let (first, end) = (samples.first()?.timestamp, samples.last()?.timestamp);
        self.memory.last_sample.insert(slot, end);
        let shares: Vec<f64> = samples.iter().filter_map(|sample| share_of(&sample.value)).collect();
        if shares.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "there are some hundred samples")]
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        // Where the ring lost some, it covers only what it still had.
        let micros = end.saturating_sub(last.filter(|last| first.saturating_sub(*last) < 2_000_000).unwrap_or(first));
        let seconds = Duration::from_micros(micros).as_secs_f64();
        Some(Window { mean, max: shares.iter().copied().fold(0.0, f64::max), seconds })
    }

    fn figures(&mut self, gpu: &mut Gpu) {
        let nvml = self.nvml;
        let known = self.ask("memory", |device| {
            let new = device.memory_info().map(|info| (info.used / MIB, info.total / MIB));
            // Before R510 there is only the old function.
            new.or_else(|error| match error {
                NvmlError::FailedToLoadSymbol(_) => raw::memory(nvml, device),
                error => Err(error),
            })
        });
        (gpu.memory_used_mib, gpu.memory_total_mib) = (known.map(|known| known.0), known.map(|known| known.1));
        gpu.temperature_c = self.ask("temperature", |device| device.temperature(TemperatureSensor::Gpu)).map(i64::from);
        for (threshold, name, place) in [
            (TemperatureThreshold::GpuMax, "maximum temperature", &mut gpu.temperature_max_c),
            (TemperatureThreshold::Slowdown, "slowdown temperature", &mut gpu.temperature_slowdown_c),
            (TemperatureThreshold::Shutdown, "shutdown temperature", &mut gpu.temperature_shutdown_c),
        ] {
            *place = self.ask(name, |device| device.temperature_threshold(threshold)).map(i64::from);
        }
        let milliwatts = |mw: u32| f64::from(mw) / 1000.0;
        gpu.power_limit_w = self.ask("power limit", Device::enforced_power_limit).map(milliwatts);
        let now = Instant::now();
        let energy = self.ask("energy", Device::total_energy_consumption);
        let mean = energy.zip(self.memory.energy).and_then(|(energy, (before, since))| {
            let span = now.duration_since(since);
            // A counter that went back was set to zero with the driver.
            let used = Duration::from_millis(energy.checked_sub(before)?).as_secs_f64();
            (span >= Duration::from_millis(100)).then(|| used / span.as_secs_f64())
        });
        gpu.power_w = mean.or_else(|| self.ask("power", Device::power_usage).map(milliwatts));
        gpu.energy_j = energy.map(|mj| Duration::from_millis(mj).as_secs_f64());
        self.memory.energy = energy.map(|energy| (energy, now));
        gpu.sm_mhz = self.ask("sm clock", |device| device.clock_info(Clock::SM));
        gpu.memory_mhz = self.ask("memory clock", |device| device.clock_info(Clock::Memory));
        let state = self.ask("performance state", Device::performance_state).map(|state| state.as_c());
        gpu.performance_state = state.and_then(|state| u8::try_from(state).ok());
        gpu.pcie = self.ask("pcie", |device| {
            Ok(Pcie {
                generation: device.current_pcie_link_gen()?,
                width: device.current_pcie_link_width()?,
                max_generation: device.max_pcie_link_gen()?,
                max_width: device.max_pcie_link_width()?,
            })
        });
        gpu.persistence = self.ask("persistence", Device::is_in_persistent_mode);
        let mode = self.ask("compute mode", Device::compute_mode);
        gpu.exclusive = mode.map(|mode| mode == ComputeMode::ExclusiveProcess);
    }

    fn health(&mut self, gpu: &mut Gpu) {
        let nvml = self.nvml;
        gpu.clock_events = self.ask("clock events", |device| raw::clock_events(nvml, device));
        gpu.clock_event_minutes = self.memory.minutes(gpu.clock_events.unwrap_or(0));
        gpu.ecc = self.ask("ecc", |device| {
            let mode = device.is_ecc_enabled()?;
            let count = |kind| match device.total_ecc_errors(kind, EccCounter::Volatile) {
                Err(NvmlError::NotSupported) => Ok(0),
                count => count,
            };
            Ok(Ecc {
                enabled: mode.currently_enabled,
                pending: mode.pending_enabled,
                corrected: count(MemoryError::Corrected)?,
                uncorrected: count(MemoryError::Uncorrected)?,
            })
        });
        let fields = self.ask("fields", |device| device.field_values_for(&FIELDS)).unwrap_or_default();
        // By their place: drivers may number fields differently (`gpu.md` §6.4).
        let values: Vec<Option<u64>> =
            fields.into_iter().map(|field| field.ok().and_then(|field| number_of(&field.value.ok()?))).collect();
        let value = |at: usize| values.get(at).copied().flatten();
        gpu.retired = value(0).zip(value(1)).zip(value(2)).map(|((corrected, uncorrected), pending)| RetiredPages {
            corrected,
            uncorrected,
            pending: pending != 0,
        });
        gpu.remapped = value(3).zip(value(4)).map(|(corrected, uncorrected)| RemappedRows {
            corrected,
            uncorrected,
            pending: value(5).is_some_and(|rows| rows != 0),
            failed: value(6).is_some_and(|rows| rows != 0),
        });
        gpu.recovery_action = value(7);
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

/// Samples between two looks.
struct Window {
    mean: f64,
    max: f64,
    seconds: f64,
}

impl Memory {
    /// Notes the reasons of this moment and counts in how many of the last minutes each was seen.
    fn minutes(&mut self, bits: u64) -> BTreeMap<ClockEvent, u8> {
        let minute = self.started.get_or_insert_with(Instant::now).elapsed().as_secs() / 60;
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
