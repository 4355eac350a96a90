//! The metrics of the GPUs by the names of `gpu.md` §2.2; what a GPU does not support has no line.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::evidence::{ClockEvent, DriverState, Gpu, GpuDriver, GpuState};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGpu {
    gpu: u32,
    uuid: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    #[prometheus(flatten)]
    of: OfGpu,
    kind: String,
}

/// A gauge: its name, what it means, and its value.
type Figure = (&'static str, &'static str, fn(&Gpu) -> Option<f64>);

#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 bytes, errors or rows")]
const FIGURES: &[Figure] = &[
    ("gpu_up", "Whether the GPU answers: 1 or 0", |gpu| Some(f64::from(u8::from(gpu.state == GpuState::Up)))),
    ("gpu_utilization_ratio", "Mean share of the window in which the GPU was busy", |gpu| gpu.utilization_mean),
    ("gpu_utilization_max_ratio", "Busiest sample of the window", |gpu| gpu.utilization_max),
    ("gpu_memory_bandwidth_utilization_ratio", "Share of the window in which memory was read or written", |gpu| {
        gpu.memory_utilization_mean
    }),
    ("gpu_memory_used_bytes", "Memory in use", |gpu| gpu.memory_used_mib.map(bytes)),
    ("gpu_memory_total_bytes", "Memory in all", |gpu| gpu.memory_total_mib.map(bytes)),
    ("gpu_temperature_celsius", "Temperature of the core", |gpu| gpu.temperature_c.map(|c| c as f64)),
    ("gpu_power_watts", "Power of the board", |gpu| gpu.power_w),
    ("gpu_power_limit_watts", "What the board may draw", |gpu| gpu.power_limit_w),
    ("gpu_sm_clock_hertz", "Clock of the multiprocessors", |gpu| gpu.sm_mhz.map(|mhz| f64::from(mhz) * 1e6)),
    ("gpu_memory_clock_hertz", "Clock of the memory", |gpu| gpu.memory_mhz.map(|mhz| f64::from(mhz) * 1e6)),
    ("gpu_performance_state", "Performance state, 0 is the fastest", |gpu| gpu.performance_state.map(f64::from)),
    ("gpu_pcie_link_generation", "Generation of the link right now", |gpu| {
        gpu.pcie.map(|link| f64::from(link.generation))
    }),
    ("gpu_pcie_link_width", "Lanes of the link right now", |gpu| gpu.pcie.map(|link| f64::from(link.width))),
    ("gpu_ecc_corrected_volatile", "Memory errors corrected since the driver was loaded", |gpu| {
        gpu.ecc.map(|ecc| ecc.corrected as f64)
    }),
    ("gpu_ecc_uncorrected_volatile", "Memory errors not corrected since the driver was loaded", |gpu| {
        gpu.ecc.map(|ecc| ecc.uncorrected as f64)
    }),
    ("gpu_retired_pages", "Memory pages taken out of use", |gpu| {
        gpu.retired.map(|pages| (pages.corrected + pages.uncorrected) as f64)
    }),
    ("gpu_remapped_rows", "Memory rows replaced", |gpu| {
        gpu.remapped.map(|rows| (rows.corrected + rows.uncorrected) as f64)
    }),
    ("gpu_recovery_action", "What the driver wants done: 0 is nothing", |gpu| gpu.recovery_action.map(|n| n as f64)),
    ("gpu_processes", "Processes that compute on the GPU", |gpu| gpu.processes.as_ref().map(|list| list.len() as f64)),
];

/// Adds what is known of the GPUs.
pub(super) fn register(registry: &mut Registry, driver: Option<&GpuDriver>, gpus: Option<&Vec<Gpu>>) {
    if let Some(driver) = driver {
        let up = ConstGauge::new(i64::from(driver.state == DriverState::Up));
        registry.register("gpu_driver_up", "Whether the driver of the GPUs answers: 1 or 0", up);
    }
    let Some(gpus) = gpus.filter(|gpus| !gpus.is_empty()) else { return };
    for (name, help, value) in FIGURES {
        let family = Family::<OfGpu, Gauge<f64, AtomicU64>>::default();
        let mut known = false;
        for (gpu, value) in gpus.iter().filter_map(|gpu| Some((gpu, value(gpu)?))) {
            family.get_or_create(&of(gpu)).set(value);
            known = true;
        }
        if known {
            registry.register(*name, *help, family);
        }
    }
    let (energy, xids) = (Family::<OfGpu, Counter<f64, AtomicU64>>::default(), Family::<OfKind, Counter>::default());
    let events = Family::<OfKind, Gauge>::default();
    for gpu in gpus {
        if let Some(joules) = gpu.energy_j {
            energy.get_or_create(&of(gpu)).inc_by(joules);
        }
        let kind = |kind: String| OfKind { of: of(gpu), kind };
        for (xid, seen) in &gpu.xids {
            xids.get_or_create(&kind(xid.to_string())).inc_by(seen.count);
        }
        for event in ClockEvent::ALL {
            if let Some(bits) = gpu.clock_events {
                events.get_or_create(&kind(word(event).to_owned())).set(i64::from(bits & event.bit() != 0));
            }
        }
    }
    registry.register("gpu_energy_joules", "Energy since the driver was loaded", energy);
    registry.register("gpu_xid_errors", "Faults that the driver reported, by their number", xids);
    registry.register("gpu_clock_event_active", "Whether the clocks are held down for this reason: 1 or 0", events);
}

fn of(gpu: &Gpu) -> OfGpu {
    OfGpu { gpu: gpu.index, uuid: gpu.uuid.clone(), model: gpu.name.clone() }
}

fn word(event: ClockEvent) -> &'static str {
    match event {
        ClockEvent::HardwareSlowdown => "hardware_slowdown",
        ClockEvent::SoftwareThermal => "sw_thermal",
        ClockEvent::HardwareThermal => "hw_thermal",
        ClockEvent::PowerBrake => "hw_power_brake",
    }
}

#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 bytes")]
fn bytes(mib: u64) -> f64 {
    mib.saturating_mul(1024 * 1024) as f64
}
