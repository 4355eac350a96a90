//! The GPUs as a table for people, with what is wrong with them below.

use std::fmt::Write;

use super::{Style, frame};
use crate::evidence::{DriverState, Gpu, GpuDriver, GpuState, Snapshot};
use crate::report::Report;

const HEAD: [&str; 9] = ["GPU", "NAME", "UUID", "BUSY", "PEAK", "MEMORY MiB", "TEMP", "POWER", "PROCESSES"];

/// What the GPUs do, and what `report` says of them.
pub fn gpu(snapshot: &Snapshot, report: &Report, style: Style) -> String {
    let mut out = String::new();
    if let Some(driver) = snapshot.gpu_driver.known() {
        let _ = writeln!(out, "{}", driver_line(driver));
    }
    if let Some(gpus) = snapshot.gpus.known().filter(|gpus| !gpus.is_empty()) {
        let rows: Vec<[String; 9]> = std::iter::once(HEAD.map(str::to_owned)).chain(gpus.iter().map(row)).collect();
        let widths: Vec<usize> =
            (0..HEAD.len()).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
            let _ = writeln!(out, "{}", cells.join("  ").trim_end());
        }
    }
    let findings = frame::without_document(report, style);
    if !findings.is_empty() {
        let _ = write!(out, "\n{findings}");
    }
    out
}

fn driver_line(driver: &GpuDriver) -> String {
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
