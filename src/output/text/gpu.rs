//! The GPUs as a table for people, with what is wrong with them below.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Style, frame};
use crate::evidence::{
    DriverState, Gpu, GpuDriver, GpuInstance, GpuProcess, GpuState, Holder, ModuleGpus, Observed, Snapshot,
};
use crate::report::Report;

const MODULES: [&str; 7] = ["MODULE", "ASKS", "GIVEN", "SEES GPU", "USES GPU", "MEMORY MiB", "BUSY"];
const PARTS: [&str; 4] = ["PART", "NAME", "UUID", "MEMORY MiB"];
const HEAD: [&str; 9] = ["GPU", "NAME", "UUID", "BUSY", "PEAK", "MEMORY MiB", "TEMP", "POWER", "PROCESSES"];

/// What the GPUs do, and what `report` says of them.
pub fn gpu(snapshot: &Snapshot, report: &Report, style: Style) -> String {
    let mut out = String::new();
    if let Some(driver) = snapshot.gpu_driver.known() {
        let _ = writeln!(out, "{}", driver_line(driver));
    }
    if let Some(gpus) = snapshot.gpus.known().filter(|gpus| !gpus.is_empty()) {
        out.push_str(&table(HEAD, gpus.iter().map(row).collect()));
        let parts: Vec<[String; 4]> = gpus.iter().flat_map(part_rows).collect();
        if !parts.is_empty() {
            let _ = write!(out, "\n{}", table(PARTS, parts));
        }
    }
    out.push_str(&modules(snapshot));
    let findings = frame::without_document(report, style);
    if !findings.is_empty() {
        let _ = write!(out, "\n{findings}");
    }
    out
}

/// Who has which GPU: a line for each module that asks for one, was given one or uses one, and for whoever else computes.
fn modules(snapshot: &Snapshot) -> String {
    let gpus = snapshot.gpus.known().map_or(&[][..], Vec::as_slice);
    let modules = snapshot.gpus_of_modules();
    let matters = |gpus: &ModuleGpus| {
        gpus.asked.known().is_some()
            || gpus.granted.known().is_some_and(|granted| granted.count != Some(0))
            || gpus.used.known().is_some_and(|used| !used.is_empty())
    };
    let mut rows: Vec<[String; 7]> =
        modules.iter().filter(|(_, of)| matters(of)).map(|(id, of)| module_row(id, of, gpus)).collect();
    rows.extend(strangers(snapshot, gpus));
    let mut out = String::new();
    if !rows.is_empty() {
        let _ = write!(out, "\n{}", table(MODULES, rows));
    }
    let hidden = modules.values().filter(|of| matters(of)).find_map(|of| match &of.used {
        Observed::Unknown(why) => Some(why),
        _ => None,
    });
    if let Some(why) = hidden {
        let _ = writeln!(out, "\nWhat modules use cannot be told: it takes {}.", why.what);
    }
    out
}

fn module_row(id: &str, of: &ModuleGpus, gpus: &[Gpu]) -> [String; 7] {
    let asked = match &of.asked {
        Observed::Known(asked) => asked.count.map_or_else(|| "any".to_owned(), |count| count.to_string()),
        Observed::Absent => "0".to_owned(),
        Observed::Unknown(_) => "-".to_owned(),
    };
    let granted = of.granted.known().map(|granted| match granted.count {
        Some(count) => count.to_string(),
        None => "all".to_owned(),
    });
    let seen = of.visible.known().map(|seen| match seen.as_slice() {
        [] => "none".to_owned(),
        seen => seen.iter().map(|uuid| number(uuid, gpus)).collect::<Vec<_>>().join(","),
    });
    let used = of.used.known();
    let processes = used.map(|used| used.iter().map(|used| used.processes).sum::<u32>().to_string());
    let memory = used.and_then(|used| used.iter().map(|used| used.memory_mib).sum::<Option<u64>>());
    let on = used.map(|used| match used.as_slice() {
        [] => "none".to_owned(),
        used => used
            .iter()
            .map(|used| number(used.instance.as_deref().unwrap_or(&used.gpu), gpus))
            .collect::<Vec<_>>()
            .join(","),
    });
    let busy = used.and_then(|used| {
        let shares = used.iter().filter_map(|used| Some((used, used.utilization?)));
        let shares: Vec<String> = shares.map(|(_, share)| format!("{:.0} %", share * 100.0)).collect();
        (!shares.is_empty()).then(|| shares.join(","))
    });
    let on =
        known(on.zip(processes).map(|(on, processes)| if on == "none" { on } else { format!("{on} by {processes}") }));
    [id.to_owned(), asked, known(granted), known(seen), on, known(memory.map(|mib| mib.to_string())), known(busy)]
}

/// Who computes and is no module.
fn strangers(snapshot: &Snapshot, gpus: &[Gpu]) -> Vec<[String; 7]> {
    let mut rows = Vec::new();
    for gpu in gpus {
        let mut by_name: BTreeMap<String, Vec<&GpuProcess>> = BTreeMap::new();
        for process in gpu.processes.iter().flatten() {
            let name = match snapshot.holder(process) {
                Holder::Module(_) | Holder::Unknown => continue,
                Holder::Container(id) => format!("(container {})", id.get(..12).unwrap_or(id)),
                Holder::MpsServer => "(MPS server)".to_owned(),
                Holder::Host => "(host)".to_owned(),
            };
            by_name.entry(name).or_default().push(process);
        }
        rows.extend(by_name.into_iter().map(|(name, processes)| {
            let memory = processes.iter().map(|process| process.memory_mib).sum::<Option<u64>>();
            let busy: Vec<f64> = processes.iter().filter_map(|process| process.utilization).collect();
            let busy = (!busy.is_empty()).then(|| format!("{:.0} %", busy.iter().sum::<f64>() * 100.0));
            let uses = format!("{} by {}", gpu.index, processes.len());
            let dash = || "-".to_owned();
            [name, dash(), dash(), dash(), uses, known(memory.map(|mib| mib.to_string())), known(busy)]
        }));
    }
    rows
}

/// The number of a GPU, or of a part of one: `0`, `0:1`; its UUID where it is not there.
fn number(uuid: &str, gpus: &[Gpu]) -> String {
    let found = gpus.iter().find_map(|gpu| {
        let part = gpu.instances.iter().flatten().position(|part| part.uuid == uuid);
        let whole = (gpu.uuid == uuid).then(|| gpu.index.to_string());
        whole.or(part.map(|part| format!("{}:{part}", gpu.index)))
    });
    found.unwrap_or_else(|| uuid.to_owned())
}

fn part_rows(gpu: &Gpu) -> Vec<[String; 4]> {
    let row = |(place, part): (usize, &GpuInstance)| {
        let memory = part.memory_used_mib.zip(part.memory_total_mib).map(|(used, total)| format!("{used} / {total}"));
        [format!("{}:{place}", gpu.index), part.name.clone(), part.uuid.clone(), known(memory)]
    };
    gpu.instances.iter().flatten().enumerate().map(row).collect()
}

fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut out = String::new();
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: Vec<usize> = (0..N).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}

/// Which driver there is, or why there is none.
pub fn driver_line(driver: &GpuDriver) -> String {
    let version = driver.version.as_deref().unwrap_or("of unknown version");
    let cuda = driver.cuda.as_ref().map_or_else(String::new, |cuda| format!(", CUDA up to {cuda}"));
    match driver.state {
        DriverState::Up if driver.gpus == 1 => format!("driver {version}{cuda}, 1 GPU"),
        DriverState::Up => format!("driver {version}{cuda}, {} GPUs", driver.gpus),
        DriverState::NoLibrary => "no NVIDIA library here, so no GPU can be seen".to_owned(),
        DriverState::NotLoaded => "no NVIDIA driver is running, so there is no GPU".to_owned(),
        DriverState::Unresponsive => "the GPU driver is unresponsive".to_owned(),
        DriverState::Mismatch | DriverState::NoAccess | DriverState::Failed => {
            format!("the GPU driver does not answer: {}", driver.detail.as_deref().unwrap_or("no reason given"))
        }
    }
}

fn row(gpu: &Gpu) -> [String; 9] {
    let percent = |share: Option<f64>| known(share.map(|share| format!("{:.0} %", share * 100.0)));
    let busy = match gpu.state {
        GpuState::Up => percent(gpu.utilization_mean),
        GpuState::Lost => "lost".to_owned(),
        GpuState::ResetRequired => "needs reset".to_owned(),
    };
    let memory = gpu.memory_used_mib.zip(gpu.memory_total_mib).map(|(used, total)| format!("{used} / {total}"));
    let power = gpu.power_w.map(|watts| match gpu.power_limit_w {
        Some(limit) => format!("{watts:.0} / {limit:.0} W"),
        None => format!("{watts:.0} W"),
    });
    [
        gpu.index.to_string(),
        gpu.name.clone(),
        gpu.uuid.clone(),
        busy,
        percent(gpu.utilization_max),
        known(memory),
        known(gpu.temperature_c.map(|celsius| format!("{celsius} °C"))),
        known(power),
        known(gpu.processes.as_ref().map(|list| list.len().to_string())),
    ]
}

/// The figure, or a dash where it is not known.
fn known(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "-".to_owned())
}
