//! The metrics of the GPUs once more, by the names, labels and units of NVIDIA's DCGM exporter, so that dashboards that are
//! made for it work (`gpu.md` §2.1, §2.2). What a GPU does not support has no line.

use std::fmt::Write;

use super::metrics::Format;
use crate::evidence::{ClockLimit, Gpu, GpuDriver, Snapshot};
use crate::settings::DcgmNames;

/// Whether a figure only grows. That exporter writes no `_total` behind names of counters, which `OpenMetrics` does not
/// allow: there they are of unknown kind (`gpu.md` §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
}

/// A family: its name behind `DCGM_FI_DEV_`, what it means, whether it grows, and its value.
type Family = (&'static str, &'static str, Kind, fn(&Gpu) -> Option<f64>);

/// What that exporter has by default and NVML can tell.
#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 MiB, errors or rows")]
const CORE: &[Family] = &[
    ("SM_CLOCK", "SM clock frequency (in MHz).", Kind::Gauge, |gpu| gpu.sm_mhz.map(f64::from)),
    ("MEM_CLOCK", "Memory clock frequency (in MHz).", Kind::Gauge, |gpu| gpu.memory_mhz.map(f64::from)),
    ("MEMORY_TEMP", "Memory temperature (in C).", Kind::Gauge, |gpu| gpu.memory_temperature_c.map(|c| c as f64)),
    ("GPU_TEMP", "GPU temperature (in C).", Kind::Gauge, |gpu| gpu.temperature_c.map(|c| c as f64)),
    ("POWER_USAGE", "Power draw (in W).", Kind::Gauge, |gpu| gpu.power_w),
    ("TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded (in mJ).", Kind::Counter, |gpu| {
        gpu.energy_j.map(|joules| (joules * 1e3).round())
    }),
    ("PCIE_REPLAY_COUNTER", "PCIe packets sent again.", Kind::Counter, |gpu| gpu.traffic.replays.map(|n| n as f64)),
    ("GPU_UTIL", "GPU utilization, the mean of the window (in %).", Kind::Gauge, |gpu| percent(gpu.utilization_mean)),
    ("MEM_COPY_UTIL", "Memory utilization, the mean of the window (in %).", Kind::Gauge, |gpu| {
        percent(gpu.memory_utilization_mean)
    }),
    ("ENC_UTIL", "Encoder utilization (in %).", Kind::Gauge, |gpu| percent(gpu.encoder_utilization)),
    ("DEC_UTIL", "Decoder utilization (in %).", Kind::Gauge, |gpu| percent(gpu.decoder_utilization)),
    ("XID_ERRORS", "The last Xid that was reported, 0 without one.", Kind::Gauge, |gpu| Some(last_xid(gpu) as f64)),
    ("FB_FREE", "Framebuffer memory free (in MiB).", Kind::Gauge, |gpu| gpu.memory_free_mib.map(|mib| mib as f64)),
    ("FB_USED", "Framebuffer memory used (in MiB).", Kind::Gauge, |gpu| gpu.memory_used_mib.map(|mib| mib as f64)),
    ("UNCORRECTABLE_REMAPPED_ROWS", "Rows replaced for errors not corrected.", Kind::Counter, |gpu| {
        gpu.remapped.map(|rows| rows.uncorrected as f64)
    }),
    ("CORRECTABLE_REMAPPED_ROWS", "Rows replaced for errors corrected.", Kind::Counter, |gpu| {
        gpu.remapped.map(|rows| rows.corrected as f64)
    }),
    ("ROW_REMAP_FAILURE", "Whether a row could not be replaced.", Kind::Gauge, |gpu| {
        gpu.remapped.map(|rows| f64::from(u8::from(rows.failed)))
    }),
];

/// What that exporter can be told to have too.
#[expect(clippy::cast_precision_loss, reason = "no GPU has 2^53 MiB, errors or rows")]
const MORE: &[Family] = &[
    ("FB_TOTAL", "Framebuffer memory in all (in MiB).", Kind::Gauge, |gpu| gpu.memory_total_mib.map(|mib| mib as f64)),
    ("FB_RESERVED", "Framebuffer memory that the driver keeps (in MiB).", Kind::Gauge, |gpu| {
        gpu.memory_reserved_mib.map(|mib| mib as f64)
    }),
    (
        "FB_USED_PERCENT",
        "Share of the framebuffer in use, without what the driver keeps (0 to 1).",
        Kind::Gauge,
        |gpu| {
            let (used, total) = gpu.memory_used_mib.zip(gpu.memory_total_mib)?;
            let usable = total.checked_sub(gpu.memory_reserved_mib.unwrap_or(0)).filter(|usable| *usable > 0)?;
            Some(used as f64 / usable as f64)
        },
    ),
    ("POWER_VIOLATION", "Clocks held down by the power limit (in ns).", Kind::Counter, |gpu| {
        held(gpu, ClockLimit::Power)
    }),
    ("THERMAL_VIOLATION", "Clocks held down by heat (in ns).", Kind::Counter, |gpu| held(gpu, ClockLimit::Thermal)),
    ("SYNC_BOOST_VIOLATION", "Clocks held down by sync boost (in ns).", Kind::Counter, |gpu| {
        held(gpu, ClockLimit::SyncBoost)
    }),
    ("BOARD_LIMIT_VIOLATION", "Clocks held down by the board (in ns).", Kind::Counter, |gpu| {
        held(gpu, ClockLimit::BoardLimit)
    }),
    ("LOW_UTIL_VIOLATION", "Clocks held down for want of work (in ns).", Kind::Counter, |gpu| {
        held(gpu, ClockLimit::LowUtilization)
    }),
    ("RELIABILITY_VIOLATION", "Clocks held down for reliability (in ns).", Kind::Counter, |gpu| {
        held(gpu, ClockLimit::Reliability)
    }),
    ("ECC_CURRENT", "Whether errors of the memory are corrected.", Kind::Gauge, |gpu| {
        gpu.ecc.map(|ecc| f64::from(u8::from(ecc.enabled)))
    }),
    ("ECC_SBE_VOL_TOTAL", "Errors corrected since the driver was loaded.", Kind::Counter, |gpu| {
        gpu.ecc.map(|ecc| ecc.corrected as f64)
    }),
    ("ECC_DBE_VOL_TOTAL", "Errors not corrected since the driver was loaded.", Kind::Counter, |gpu| {
        gpu.ecc.map(|ecc| ecc.uncorrected as f64)
    }),
    ("ECC_SBE_AGG_TOTAL", "Errors corrected in the life of the board.", Kind::Counter, |gpu| {
        gpu.ecc.and_then(|ecc| ecc.corrected_ever).map(|n| n as f64)
    }),
    ("ECC_DBE_AGG_TOTAL", "Errors not corrected in the life of the board.", Kind::Counter, |gpu| {
        gpu.ecc.and_then(|ecc| ecc.uncorrected_ever).map(|n| n as f64)
    }),
    ("RETIRED_SBE", "Pages taken out of use for errors corrected.", Kind::Counter, |gpu| {
        gpu.retired.map(|pages| pages.corrected as f64)
    }),
    ("RETIRED_DBE", "Pages taken out of use for errors not corrected.", Kind::Counter, |gpu| {
        gpu.retired.map(|pages| pages.uncorrected as f64)
    }),
    ("RETIRED_PENDING", "Whether pages are taken out of use at the next restart.", Kind::Gauge, |gpu| {
        gpu.retired.map(|pages| f64::from(u8::from(pages.pending)))
    }),
    ("ROW_REMAP_PENDING", "Whether a replacement of a row waits for a reset.", Kind::Gauge, |gpu| {
        gpu.remapped.map(|rows| f64::from(u8::from(rows.pending)))
    }),
    ("ENFORCED_POWER_LIMIT", "What the board may draw (in W).", Kind::Gauge, |gpu| gpu.power_limit_w),
    ("PSTATE", "Performance state, 0 is the fastest.", Kind::Gauge, |gpu| gpu.performance_state.map(f64::from)),
    ("CLOCK_THROTTLE_REASONS", "Why clocks are not higher (bits).", Kind::Gauge, |gpu| {
        gpu.clock_events.map(|bits| bits as f64)
    }),
    ("CLOCKS_EVENT_REASONS", "Why clocks are not higher (bits).", Kind::Gauge, |gpu| {
        gpu.clock_events.map(|bits| bits as f64)
    }),
    ("PCIE_LINK_GEN", "Generation of the link.", Kind::Gauge, |gpu| gpu.pcie.map(|link| link.generation.into())),
    ("PCIE_LINK_WIDTH", "Lanes of the link.", Kind::Gauge, |gpu| gpu.pcie.map(|link| link.width.into())),
    ("PCIE_MAX_LINK_GEN", "Generation of the link at most.", Kind::Gauge, |gpu| {
        gpu.pcie.map(|link| link.max_generation.into())
    }),
    ("PCIE_MAX_LINK_WIDTH", "Lanes of the link at most.", Kind::Gauge, |gpu| {
        gpu.pcie.map(|link| link.max_width.into())
    }),
    ("GPU_MAX_OP_TEMP", "Temperature up to which the board is to run (in C).", Kind::Gauge, |gpu| {
        gpu.temperature_max_c.map(|c| c as f64)
    }),
    ("SLOWDOWN_TEMP", "Temperature at which the board slows down (in C).", Kind::Gauge, |gpu| {
        gpu.temperature_slowdown_c.map(|c| c as f64)
    }),
    ("SHUTDOWN_TEMP", "Temperature at which the board switches off (in C).", Kind::Gauge, |gpu| {
        gpu.temperature_shutdown_c.map(|c| c as f64)
    }),
    ("GPU_RECOVERY_ACTION", "What the driver wants done, 0 is nothing.", Kind::Gauge, |gpu| {
        gpu.recovery_action.map(|action| action as f64)
    }),
];

/// The families that `names` asks for, as text of `format` without an end.
pub(super) fn text(snapshot: &Snapshot, names: DcgmNames, format: Format) -> String {
    let mut out = String::new();
    let families: &[&[Family]] = match names {
        DcgmNames::Off => &[],
        DcgmNames::Core => &[CORE],
        DcgmNames::Full => &[CORE, MORE],
    };
    let host = snapshot.process.known().and_then(|process| process.device.as_deref());
    for (name, help, kind, value) in families.iter().copied().flatten() {
        let word = match (kind, format) {
            (Kind::Gauge, _) => "gauge",
            (Kind::Counter, Format::Prometheus) => "counter",
            (Kind::Counter, Format::OpenMetrics) => "unknown",
        };
        let gpus = snapshot.gpus.known().into_iter().flatten();
        let mut known = gpus.filter_map(|gpu| Some((gpu, value(gpu)?))).peekable();
        if known.peek().is_none() {
            continue;
        }
        let _ = writeln!(out, "# HELP DCGM_FI_DEV_{name} {help}\n# TYPE DCGM_FI_DEV_{name} {word}");
        for (gpu, value) in known {
            let labels = labels(gpu, snapshot.gpu_driver.known(), host, names);
            let _ = writeln!(out, "DCGM_FI_DEV_{name}{{{labels}}} {value}");
        }
    }
    out
}

/// In that exporter's order. Its releases say `Hostname`, newer ones `hostname` (`gpu.md` §0.10), so both are given.
fn labels(gpu: &Gpu, driver: Option<&GpuDriver>, host: Option<&str>, names: DcgmNames) -> String {
    let (index, device) = (gpu.index.to_string(), gpu.minor.map(|minor| format!("nvidia{minor}")));
    // A capital letter in the middle is what linters dislike, and no dashboard of the core needs it.
    let model = (names == DcgmNames::Full).then_some(gpu.name.as_str());
    let labels = [
        ("gpu", Some(index.as_str())),
        ("UUID", Some(gpu.uuid.as_str())),
        ("pci_bus_id", gpu.bus_id.as_deref()),
        ("device", device.as_deref()),
        ("modelName", model),
        ("Hostname", host),
        ("hostname", host),
        ("DCGM_FI_DRIVER_VERSION", driver.and_then(|driver| driver.version.as_deref())),
    ];
    let label = |(name, value): (&str, Option<&str>)| {
        let value = value?.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        Some(format!("{name}=\"{value}\""))
    };
    labels.into_iter().filter_map(label).collect::<Vec<_>>().join(",")
}

/// Whole percent, as that exporter gives them.
fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| (share * 100.0).round())
}

fn held(gpu: &Gpu, limit: ClockLimit) -> Option<f64> {
    gpu.clock_limit_seconds.get(&limit).map(|seconds| (seconds * 1e9).round())
}

fn last_xid(gpu: &Gpu) -> u64 {
    gpu.xids.iter().min_by_key(|(_, xid)| xid.seconds_ago).map_or(0, |(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{GpuDriver, Process, Xid};

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::empty(jiff::Timestamp::UNIX_EPOCH);
        let xid = |count, seconds_ago| Xid { count, seconds_ago, restarts: 0 };
        let xids = [(13, xid(2, 9)), (79, xid(1, 3))].into();
        let gpu = Gpu {
            uuid: "GPU-1".to_owned(),
            name: "Tesla \"T4\"".to_owned(),
            bus_id: Some("00002C74:00:00.0".to_owned()),
            minor: Some(3),
            utilization_mean: Some(0.874),
            energy_j: Some(1.25),
            memory_used_mib: Some(100),
            memory_total_mib: Some(300),
            memory_reserved_mib: Some(50),
            xids,
            ..Gpu::default()
        };
        let driver = GpuDriver { version: Some("535.1".to_owned()), ..GpuDriver::default() };
        snapshot.see_gpus(driver, vec![gpu]);
        let process = Process { device: Some("edge-1".to_owned()), ..Process::default() };
        snapshot.process = crate::evidence::Observed::Known(process);
        snapshot
    }

    #[test]
    fn names_labels_and_units_are_those_of_the_exporter() {
        let text = text(&snapshot(), DcgmNames::Core, Format::Prometheus);
        let labels = "gpu=\"0\",UUID=\"GPU-1\",pci_bus_id=\"00002C74:00:00.0\",device=\"nvidia3\",Hostname=\"edge-1\",\
                      hostname=\"edge-1\",DCGM_FI_DRIVER_VERSION=\"535.1\"";
        for line in [
            "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter".to_owned(),
            format!("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} 1250"),
            format!("DCGM_FI_DEV_GPU_UTIL{{{labels}}} 87"),
            format!("DCGM_FI_DEV_XID_ERRORS{{{labels}}} 79"),
            format!("DCGM_FI_DEV_FB_USED{{{labels}}} 100"),
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        // What is not supported is left out, and more comes only where it is asked for.
        assert!(!text.contains("GPU_TEMP") && !text.contains("FB_TOTAL"), "{text}");
        assert_eq!(super::text(&snapshot(), DcgmNames::Off, Format::Prometheus), "");
    }

    #[test]
    fn more_names_and_another_format() {
        let text = text(&snapshot(), DcgmNames::Full, Format::OpenMetrics);
        assert!(text.contains("# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION unknown\n"), "{text}");
        assert!(text.contains("modelName=\"Tesla \\\"T4\\\"\""), "{text}");
        assert!(text.contains("DCGM_FI_DRIVER_VERSION=\"535.1\"} 0.4\n"), "used of what can be used: {text}");
    }
}
