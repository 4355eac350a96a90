//! Who computes on a GPU and whose processes those are: the driver's lists, joined with what the kernel says of each process.

#![expect(clippy::disallowed_methods, reason = "the kernel says these things in files")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};
use tokio::time::Instant;

use super::raw;
use crate::evidence::{Gpu, GpuDriver, GpuInstance, GpuProcess, Owner, Pids};

const MIB: u64 = 1024 * 1024;
/// The process namespace of the host, a constant of the kernel (`gpu.md` §4.1).
const HOST_NAMESPACE: &str = "pid:[4026531836]";
/// The most that is read of a file of `/proc`, bytes: the kernel's paths are shorter than 4 KiB, and there are some ten groups.
const MAX_FILE: u64 = 64 * 1024;
/// So many processes are looked up at each look, at most.
const MAX_PROCESSES: usize = 1024;
/// For how long a container is remembered that used a GPU.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Tells whose the processes of the host are, and remembers which containers used a GPU.
#[derive(Debug)]
pub(super) struct Owners {
    /// Where the kernel shows processes: `/proc`.
    proc: PathBuf,
    started: Option<Instant>,
    last_used: BTreeMap<String, Instant>,
}

impl Owners {
    pub(super) fn new(proc: PathBuf) -> Self {
        Self { proc, started: None, last_used: BTreeMap::new() }
    }

    /// Gives the processes of `gpus` their owners, and says in `driver` whose processes those are at all.
    pub(super) fn tell(&mut self, driver: &mut GpuDriver, gpus: &mut [Gpu], now: Instant) {
        driver.pids = self.pids();
        // A number of another namespace may be that of somebody else here (`gpu.md` §4.1).
        if driver.pids != Pids::Host {
            return;
        }
        let started = *self.started.get_or_insert(now);
        let mut known: BTreeMap<u32, Owner> = BTreeMap::new();
        for process in gpus.iter_mut().flat_map(|gpu| gpu.processes.iter_mut().flatten()) {
            if known.len() < MAX_PROCESSES || known.contains_key(&process.pid) {
                process.owner = known.entry(process.pid).or_insert_with(|| self.owner(process.pid)).clone();
            }
        }
        for owner in known.into_values() {
            if let Owner::Container(ids) = owner {
                self.last_used.extend(ids.into_iter().map(|id| (id, now)));
            }
        }
        self.last_used.retain(|_, last| now.duration_since(*last) < MEMORY);
        driver.watched_secs = Some(now.duration_since(started).as_secs());
        let ago = |(id, last): (&String, &Instant)| (id.clone(), now.duration_since(*last).as_secs());
        driver.last_used_secs = self.last_used.iter().map(ago).collect();
    }

    fn pids(&self) -> Pids {
        let namespace = fs::read_link(self.proc.join("self/ns/pid"));
        match namespace {
            Ok(name) if name == Path::new(HOST_NAMESPACE) => Pids::Host,
            _ => Pids::Own,
        }
    }

    /// What cannot be read belongs to nobody that we know: the process may have ended since, or others' are hidden from us.
    fn owner(&self, pid: u32) -> Owner {
        let read = |name: &str| {
            let mut text = String::new();
            let file = fs::File::open(self.proc.join(pid.to_string()).join(name)).ok()?;
            file.take(MAX_FILE).read_to_string(&mut text).ok()?;
            Some(text)
        };
        Owner::of(&read("cgroup").unwrap_or_default(), &read("comm").unwrap_or_default())
    }
}

/// Who computes on `device` or draws with it, each process once, by whatever functions the driver has. Of a GPU that is cut into
/// `parts` each part is asked: the whole list needs more rights.
pub(super) fn list(
    nvml: &Nvml,
    device: &Device<'_>,
    parts: Option<&[(Device<'_>, GpuInstance)]>,
) -> Result<Vec<GpuProcess>, NvmlError> {
    let Some(parts) = parts else { return whole(nvml, device) };
    let mut all = BTreeMap::new();
    for (part, instance) in parts {
        for process in whole(nvml, part)? {
            all.entry(process.pid).or_insert(GpuProcess { instance: Some(instance.uuid.clone()), ..process });
        }
    }
    Ok(all.into_values().collect())
}

fn whole(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let old = !raw::lists_processes(nvml);
    let by_old = |list: raw::List| raw::processes(nvml, device, list);
    let converted = |list: Vec<ProcessInfo>| list.iter().map(process).collect::<Vec<_>>();
    let compute = if old { by_old(raw::List::Compute)? } else { device.running_compute_processes().map(converted)? };
    // Older or smaller drivers lack the other two lists, and nothing is missed where nobody is on them.
    let clients = if old { by_old(raw::List::Mps) } else { device.mps_running_compute_processes().map(converted) };
    let drawing = if old { by_old(raw::List::Graphics) } else { device.running_graphics_processes().map(converted) };
    let mut all: BTreeMap<u32, GpuProcess> = compute.into_iter().map(|process| (process.pid, process)).collect();
    // Clients of the service are on both lists, with the same memory (`gpu.md` §4.6).
    for client in clients.unwrap_or_default() {
        all.entry(client.pid).or_insert(client).mps = true;
    }
    for process in drawing.unwrap_or_default() {
        all.entry(process.pid).or_insert(process);
    }
    Ok(all.into_values().collect())
}

fn process(info: &ProcessInfo) -> GpuProcess {
    let memory_mib = match info.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(bytes / MIB),
        UsedGpuMemory::Unavailable => None,
    };
    GpuProcess { pid: info.pid, memory_mib, ..GpuProcess::default() }
}

/// The parts of a GPU that is cut into some; none where it is whole.
pub(super) fn parts<'n>(
    nvml: &'n Nvml,
    device: &Device<'n>,
) -> Result<Option<Vec<(Device<'n>, GpuInstance)>>, NvmlError> {
    // 1 is on.
    if device.mig_mode()?.current != 1 {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for index in 0..device.mig_device_count()? {
        let part = match device.mig_device_by_index(index) {
            Ok(part) => part,
            // The count is how many there may be at most.
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => continue,
            Err(error) => return Err(error),
        };
        let memory = part.memory_info().map(|info| (info.used / MIB, info.total / MIB)).ok();
        let (gpu_instance, compute_instance) = raw::instance(nvml, &part)?;
        let instance = GpuInstance {
            uuid: part.uuid()?,
            name: part.name()?,
            gpu_instance,
            compute_instance,
            memory_used_mib: memory.map(|memory| memory.0),
            memory_total_mib: memory.map(|memory| memory.1),
        };
        parts.push((part, instance));
    }
    Ok(Some(parts))
}

/// How busy each process kept a GPU between two looks.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Timestamp of the newest sample, µs in the driver's own time.
    last: Option<u64>,
}

impl Shares {
    /// Notes in `processes` how busy each kept the GPU since the last time. What the first answer says is a mean over a long time,
    /// and is left out (`gpu.md` §5.2).
    ///
    /// # Errors
    /// The driver does not say.
    pub(super) fn note(&mut self, device: &Device<'_>, processes: &mut [GpuProcess]) -> Result<(), NvmlError> {
        let before = self.last;
        let samples = match device.process_utilization_stats(before) {
            Ok(samples) => samples,
            // Nobody kept it busy.
            Err(NvmlError::NotFound) => Vec::new(),
            Err(error) => return Err(error),
        };
        self.last = samples.iter().map(|sample| sample.timestamp).max().max(before).or(Some(0));
        let Some(before) = before else { return Ok(()) };
        let mut shares: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
        // Drivers write junk at times (`gpu.md` §5.2).
        for sample in samples.iter().filter(|sample| sample.timestamp > before && sample.sm_util <= 100) {
            let share = shares.entry(sample.pid).or_default();
            *share = (share.0 + f64::from(sample.sm_util) / 100.0, share.1 + 1);
        }
        for process in processes {
            let share = shares.get(&process.pid).map_or(0.0, |(sum, count)| sum / f64::from(*count));
            process.utilization = Some(share);
        }
        Ok(())
    }
}
