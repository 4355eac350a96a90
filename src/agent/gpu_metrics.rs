//! The metrics of the GPUs by the names of `gpu.md` §2.2; what a GPU does not support has no line.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::evidence::{ClockEvent, ClockLimit, DriverState, Gpu, GpuDriver, GpuState, Snapshot};
use crate::finding::Severity;
use crate::report::{Outcome, Report, Subject};

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter<f64, AtomicU64>>;
/// What is known of a GPU, as a number.
type Value = fn(&Gpu) -> Option<f64>;

/// Figures that go up and down: the name, what it means, a label that tells several apart, and those by what it says.
type Figures = (&'static str, &'static str, &'static str, &'static [(&'static str, Value)]);

#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 bytes, errors or rows")]
const GAUGES: &[Figures] = &[
    ("gpu_up", "Whether the GPU answers: 1 or 0", "", &[("", |gpu| flag(Some(gpu.state == GpuState::Up)))]),
    (
        "gpu_utilization_ratio",
        "Mean share of the window in which the GPU was busy",
        "",
        &[("", |gpu| gpu.utilization_mean)],
    ),
    ("gpu_utilization_max_ratio", "Busiest sample of the window", "", &[("", |gpu| gpu.utilization_max)]),
    (
        "gpu_memory_bandwidth_utilization_ratio",
        "Share of the window in which memory was read or written",
        "",
        &[("", |gpu| gpu.memory_utilization_mean)],
    ),
    (
        "gpu_encoder_utilization_ratio",
        "Share of time in which video was encoded",
        "",
        &[("", |gpu| gpu.encoder_utilization)],
    ),
    (
        "gpu_decoder_utilization_ratio",
        "Share of time in which video was decoded",
        "",
        &[("", |gpu| gpu.decoder_utilization)],
    ),
    ("gpu_memory_used_bytes", "Memory in use", "", &[("", |gpu| bytes(gpu.memory_used_mib))]),
    ("gpu_memory_free_bytes", "Memory that nobody uses", "", &[("", |gpu| bytes(gpu.memory_free_mib))]),
    (
        "gpu_memory_reserved_bytes",
        "Memory that the driver keeps for itself",
        "",
        &[("", |gpu| bytes(gpu.memory_reserved_mib))],
    ),
    ("gpu_memory_total_bytes", "Memory in all", "", &[("", |gpu| bytes(gpu.memory_total_mib))]),
    ("gpu_temperature_celsius", "Temperature of the core", "", &[("", |gpu| degrees(gpu.temperature_c))]),
    (
        "gpu_memory_temperature_celsius",
        "Temperature of the memory",
        "",
        &[("", |gpu| degrees(gpu.memory_temperature_c))],
    ),
    (
        "gpu_temperature_threshold_celsius",
        "Temperatures at which something happens",
        "kind",
        &[
            ("max_operating", |gpu| degrees(gpu.temperature_max_c)),
            ("slowdown", |gpu| degrees(gpu.temperature_slowdown_c)),
            ("shutdown", |gpu| degrees(gpu.temperature_shutdown_c)),
        ],
    ),
    ("gpu_power_watts", "Power of the board, the mean where energy is counted", "", &[("", |gpu| gpu.power_w)]),
    ("gpu_power_limit_watts", "What the board may draw", "kind", &[("enforced", |gpu| gpu.power_limit_w)]),
    (
        "gpu_clock_hertz",
        "Clocks right now",
        "domain",
        &[("sm", |gpu| hertz(gpu.sm_mhz)), ("memory", |gpu| hertz(gpu.memory_mhz))],
    ),
    (
        "gpu_clock_max_hertz",
        "Clocks at most",
        "domain",
        &[("sm", |gpu| hertz(gpu.sm_max_mhz)), ("memory", |gpu| hertz(gpu.memory_max_mhz))],
    ),
    (
        "gpu_performance_state",
        "Performance state, 0 is the fastest",
        "",
        &[("", |gpu| gpu.performance_state.map(f64::from))],
    ),
    (
        "gpu_clock_event_active",
        "Whether the clocks are held down for this reason: 1 or 0",
        "reason",
        &[
            ("hw_slowdown", |gpu| event(gpu, ClockEvent::HardwareSlowdown)),
            ("sw_thermal", |gpu| event(gpu, ClockEvent::SoftwareThermal)),
            ("hw_thermal", |gpu| event(gpu, ClockEvent::HardwareThermal)),
            ("hw_power_brake", |gpu| event(gpu, ClockEvent::PowerBrake)),
        ],
    ),
    (
        "gpu_pcie_link_generation",
        "Generation of the link to the processor",
        "kind",
        &[
            ("current", |gpu| gpu.pcie.map(|link| link.generation.into())),
            ("max", |gpu| gpu.pcie.map(|link| link.max_generation.into())),
        ],
    ),
    (
        "gpu_pcie_link_width",
        "Lanes of the link to the processor",
        "kind",
        &[
            ("current", |gpu| gpu.pcie.map(|link| link.width.into())),
            ("max", |gpu| gpu.pcie.map(|link| link.max_width.into())),
        ],
    ),
    (
        "gpu_ecc_mode",
        "Whether errors of the memory are corrected: 1 or 0",
        "kind",
        &[
            ("current", |gpu| flag(gpu.ecc.map(|ecc| ecc.enabled))),
            ("pending", |gpu| flag(gpu.ecc.map(|ecc| ecc.pending))),
        ],
    ),
    (
        "gpu_ecc_errors_volatile",
        "Errors of the memory since the driver was loaded",
        "type",
        &[
            ("corrected", |gpu| gpu.ecc.map(|ecc| ecc.corrected as f64)),
            ("uncorrected", |gpu| gpu.ecc.map(|ecc| ecc.uncorrected as f64)),
        ],
    ),
    (
        "gpu_retired_pages",
        "Memory pages taken out of use",
        "cause",
        &[
            ("sbe", |gpu| gpu.retired.map(|pages| pages.corrected as f64)),
            ("dbe", |gpu| gpu.retired.map(|pages| pages.uncorrected as f64)),
        ],
    ),
    (
        "gpu_retired_pages_pending",
        "Whether pages are taken out of use at the next restart: 1 or 0",
        "",
        &[("", |gpu| flag(gpu.retired.map(|pages| pages.pending)))],
    ),
    (
        "gpu_remapped_rows",
        "Memory rows replaced",
        "cause",
        &[
            ("correctable", |gpu| gpu.remapped.map(|rows| rows.corrected as f64)),
            ("uncorrectable", |gpu| gpu.remapped.map(|rows| rows.uncorrected as f64)),
        ],
    ),
    (
        "gpu_row_remap_pending",
        "Whether a replacement of a row waits for a reset: 1 or 0",
        "",
        &[("", |gpu| flag(gpu.remapped.map(|rows| rows.pending)))],
    ),
    (
        "gpu_row_remap_failed",
        "Whether a row could not be replaced: 1 or 0",
        "",
        &[("", |gpu| flag(gpu.remapped.map(|rows| rows.failed)))],
    ),
    (
        "gpu_recovery_action",
        "What the driver wants done: 0 is nothing",
        "",
        &[("", |gpu| gpu.recovery_action.map(|action| action as f64))],
    ),
    (
        "gpu_processes",
        "Processes that compute on the GPU",
        "",
        &[("", |gpu| gpu.processes.as_ref().map(|list| list.len() as f64))],
    ),
];

/// Figures that only grow; the names get `_total` behind them.
#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 bytes, errors or rows")]
const COUNTERS: &[Figures] = &[
    (
        "gpu_busy_seconds",
        "Seconds in which the GPU was busy since this module looks",
        "",
        &[("", |gpu| gpu.busy_total_seconds)],
    ),
    ("gpu_energy_joules", "Energy since the driver was loaded", "", &[("", |gpu| gpu.energy_j)]),
    (
        "gpu_clock_event_seconds",
        "Seconds for which clocks were held down since the driver was loaded",
        "reason",
        &[
            ("sw_power", |gpu| held(gpu, ClockLimit::Power)),
            ("thermal", |gpu| held(gpu, ClockLimit::Thermal)),
            ("sync_boost", |gpu| held(gpu, ClockLimit::SyncBoost)),
            ("board_limit", |gpu| held(gpu, ClockLimit::BoardLimit)),
            ("low_util", |gpu| held(gpu, ClockLimit::LowUtilization)),
            ("reliability", |gpu| held(gpu, ClockLimit::Reliability)),
        ],
    ),
    ("gpu_pcie_replay", "Packets sent again", "", &[("", |gpu| gpu.traffic.replays.map(|n| n as f64))]),
    (
        "gpu_pcie_transmit_bytes",
        "Bytes that the GPU sent",
        "",
        &[("", |gpu| gpu.traffic.sent_bytes.map(|bytes| bytes as f64))],
    ),
    (
        "gpu_pcie_receive_bytes",
        "Bytes that the GPU received",
        "",
        &[("", |gpu| gpu.traffic.received_bytes.map(|bytes| bytes as f64))],
    ),
    (
        "gpu_ecc_errors",
        "Errors of the memory in the life of the board",
        "type",
        &[
            ("corrected", |gpu| gpu.ecc.and_then(|ecc| ecc.corrected_ever).map(|n| n as f64)),
            ("uncorrected", |gpu| gpu.ecc.and_then(|ecc| ecc.uncorrected_ever).map(|n| n as f64)),
        ],
    ),
];

/// Adds what is known of the GPUs, and how they are by `report`.
pub(super) fn register(registry: &mut Registry, snapshot: &Snapshot, report: &Report) {
    let driver = snapshot.gpu_driver.known();
    if let Some(driver) = driver {
        let up = ConstGauge::new(i64::from(driver.state == DriverState::Up));
        registry.register("gpu_driver_up", "Whether the driver of the GPUs answers: 1 or 0", up);
    }
    let Some(gpus) = snapshot.gpus.known().filter(|gpus| !gpus.is_empty()) else { return };
    info(registry, driver, gpus);
    for (name, help, label, figures) in GAUGES {
        let family = Gauges::default();
        let known = each(gpus, label, figures, |labels, value| {
            family.get_or_create(&labels).set(value);
        });
        if known {
            registry.register(*name, *help, family);
        }
    }
    for (name, help, label, figures) in COUNTERS {
        let family = Counters::default();
        let known = each(gpus, label, figures, |labels, value| {
            family.get_or_create(&labels).inc_by(value);
        });
        if known {
            registry.register(*name, *help, family);
        }
    }
    modules(registry, snapshot, gpus);
    xids(registry, snapshot, gpus);
    health(registry, report, gpus);
}

/// Hands every figure that is known to `put`; says whether there is one.
fn each(
    gpus: &[Gpu],
    label: &'static str,
    figures: &[(&'static str, Value)],
    mut put: impl FnMut(Labels, f64),
) -> bool {
    let mut known = false;
    for gpu in gpus {
        for (word, value) in figures {
            let Some(value) = value(gpu) else { continue };
            let mut labels = of(gpu);
            if !label.is_empty() {
                labels.push((label, (*word).to_owned()));
            }
            put(labels, value);
            known = true;
        }
    }
    known
}

/// What does not change, once, so that it costs no series elsewhere.
fn info(registry: &mut Registry, driver: Option<&GpuDriver>, gpus: &[Gpu]) {
    let family = Gauges::default();
    for gpu in gpus {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let mut labels = of(gpu);
        labels.push(("driver", text(driver.and_then(|driver| driver.version.as_ref()))));
        labels.push(("cuda", text(driver.and_then(|driver| driver.cuda.as_ref()))));
        labels.push(("pci_bus_id", text(gpu.bus_id.as_ref())));
        labels.push(("minor", gpu.minor.map(|minor| minor.to_string()).unwrap_or_default()));
        family.get_or_create(&labels).set(1.0);
    }
    registry.register("gpu_info", "What the GPU is", family);
}

/// Which module has which GPU, and what its processes use of it.
fn modules(registry: &mut Registry, snapshot: &Snapshot, gpus: &[Gpu]) {
    let [assigned, processes, memory, busy] = [(); 4].map(|()| Gauges::default());
    for (module, has) in snapshot.gpus_of_modules() {
        let labels = |uuid: &str| {
            let of_part = |gpu: &Gpu| gpu.instances.iter().flatten().any(|part| part.uuid == uuid);
            let mut labels = of(gpus.iter().find(|gpu| gpu.uuid == uuid || of_part(gpu))?);
            labels.push(("module", module.clone()));
            Some(labels)
        };
        for labels in has.visible.known().into_iter().flatten().filter_map(|uuid| labels(uuid)) {
            assigned.get_or_create(&labels).set(1.0);
        }
        for used in has.used.known().into_iter().flatten() {
            let Some(labels) = labels(&used.gpu) else { continue };
            processes.get_or_create(&labels).inc_by(f64::from(used.processes));
            if let Some(bytes) = bytes(used.memory_mib) {
                memory.get_or_create(&labels).inc_by(bytes);
            }
            if let Some(share) = used.utilization {
                busy.get_or_create(&labels).inc_by(share);
            }
        }
    }
    registry.register("gpu_module_assignment", "1 for each GPU that a module can see", assigned);
    registry.register("gpu_module_processes", "Processes of a module that compute on the GPU", processes);
    registry.register("gpu_process_memory_bytes", "Memory of the GPU that processes of a module use", memory);
    registry.register("gpu_process_sm_utilization_ratio", "Share of the GPU's time that a module keeps it busy", busy);
}

fn xids(registry: &mut Registry, snapshot: &Snapshot, gpus: &[Gpu]) {
    let (counts, last) = (Counters::default(), Gauges::default());
    for gpu in gpus {
        for (xid, seen) in &gpu.xids {
            let mut labels = of(gpu);
            labels.push(("xid", xid.to_string()));
            #[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^53")]
            {
                let at = snapshot.taken_at.as_second() as f64 - seen.seconds_ago as f64;
                counts.get_or_create(&labels).inc_by(seen.count as f64);
                last.get_or_create(&labels).set(at);
            }
        }
    }
    registry.register("gpu_xid_errors", "Faults that the driver reported, by their number", counts);
    registry.register("gpu_xid_last_timestamp_seconds", "When the fault was reported last, Unix time", last);
}

/// How each rule ended for each GPU.
fn health(registry: &mut Registry, report: &Report, gpus: &[Gpu]) {
    let family = Gauges::default();
    for evaluation in &report.evaluations {
        let Subject::Gpu(uuid) = &evaluation.subject else { continue };
        let Some(gpu) = gpus.iter().find(|gpu| *gpu.uuid == **uuid) else { continue };
        let level = match &evaluation.outcome {
            Outcome::Pass => 0.0,
            Outcome::Fail(findings) => findings.iter().map(|finding| level(finding.severity)).fold(0.0, f64::max),
            _ => continue,
        };
        let mut labels = of(gpu);
        labels.push(("check", evaluation.rule.to_owned()));
        family.get_or_create(&labels).set(level);
    }
    registry.register("gpu_health", "How the GPU stands by each check: 0 well, 1 warning, 2 failed", family);
}

fn level(severity: Severity) -> f64 {
    match severity {
        Severity::Block | Severity::Silent => 2.0,
        Severity::Warn => 1.0,
        Severity::Info => 0.0,
    }
}

fn of(gpu: &Gpu) -> Labels {
    vec![("gpu", gpu.index.to_string()), ("uuid", gpu.uuid.clone()), ("model", gpu.name.clone())]
}

fn flag(flag: Option<bool>) -> Option<f64> {
    flag.map(|flag| f64::from(u8::from(flag)))
}

fn event(gpu: &Gpu, event: ClockEvent) -> Option<f64> {
    flag(gpu.clock_events.map(|bits| bits & event.bit() != 0))
}

fn held(gpu: &Gpu, limit: ClockLimit) -> Option<f64> {
    gpu.clock_limit_seconds.get(&limit).copied()
}

fn hertz(mhz: Option<u32>) -> Option<f64> {
    mhz.map(|mhz| f64::from(mhz) * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "no GPU is that hot")]
fn degrees(celsius: Option<i64>) -> Option<f64> {
    celsius.map(|celsius| celsius as f64)
}

#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 bytes")]
fn bytes(mib: Option<u64>) -> Option<f64> {
    mib.map(|mib| mib.saturating_mul(1024 * 1024) as f64)
}
