//! One look at every GPU: starts the driver's library, and again where the driver went away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use tokio::time::Instant;

use super::asking::{Asking, Memory, state_of};
use super::events::Events;
use super::history;
use super::kept::Kept;
use super::processes::Owners;
use super::schedule::{Pace, Schedule};
use crate::evidence::{DriverState, Gpu, GpuDriver, GpuState};

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
    /// Whether the driver was not loaded meanwhile.
    was_unloaded: bool,
    /// The last look and when it was, for a driver that is not to be asked so soon again.
    last: Option<(Instant, GpuDriver, Vec<Gpu>)>,
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
            was_unloaded: false,
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
            let known = |gpu: &Gpu| Gpu { xids: self.kept.xids(&gpu.uuid, events.of(&gpu.uuid)), ..gpu.clone() };
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
        let is_another = self.version != driver.version;
        // A driver that was loaded anew has reset the GPUs.
        if std::mem::take(&mut self.was_unloaded) || is_another && self.version.is_some() {
            for (uuid, _) in self.places.values() {
                events.forget(uuid);
                self.kept.was_reset(uuid);
            }
        }
        if is_another {
            // It may support what the last one did not, and counts anew.
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
            let mut round = Asking::new(nvml, &device, memory, self.schedule, &self.pace);
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
        let driver = down(error);
        self.was_unloaded |= driver.state == DriverState::NotLoaded;
        (driver, Vec::new())
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
                let xids = self.kept.xids(&uuid, events.of(&uuid));
                let state = state_of(&error).unwrap_or(GpuState::Lost);
                return Gpu { uuid, name, index, state, xids, ..Gpu::default() };
            }
        };
        self.places.insert(index, (uuid.clone(), name.clone()));
        let memory = self.memories.entry(uuid.clone()).or_default();
        let mut look = Asking::new(nvml, &device, memory, self.schedule, &self.pace);
        let (gpu, link_is_new) = look.look(now);
        let (state, errors) = (look.state, look.errors);
        let mut gpu = Gpu { uuid, name, index, state, errors, ..gpu };
        if memory.history.was_recovered(gpu.recovery_action) {
            events.forget(&gpu.uuid);
            self.kept.was_reset(&gpu.uuid);
        }
        gpu.xids = self.kept.xids(&gpu.uuid, events.of(&gpu.uuid));
        memory.history.note(&mut gpu, link_is_new, &mut self.kept, now);
        gpu
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
