//! `gpu`: looks at the GPUs of this machine once and prints what it saw.

use std::path::PathBuf;

use anyhow::Context;

use super::{Exit, ListFormat, now, say, style};
use crate::evidence::Snapshot;
use crate::finding::Severity;
use crate::output;
use crate::report::Status;
use crate::settings::Settings;
use crate::sources::nvml::Nvml;
use crate::verbs::gpu::{GpuArgs, gpu};

/// What `gpu` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct GpuCommand {
    #[command(flatten)]
    gpu: GpuArgs,

    /// The library of the driver, where it is not the one that the system finds
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,

    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,
}

pub(super) fn run(command: &GpuCommand) -> anyhow::Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().context("cannot wait for the GPUs")?;
    let source = Nvml::start(command.library.clone()).context("cannot start to look at the GPUs")?;
    let seen = runtime.block_on(source.gpus());
    let (driver, gpus) = seen.map_err(anyhow::Error::msg)?;
    let mut snapshot = Snapshot::empty(now());
    snapshot.see_gpus(driver, gpus);
    let report = gpu(&command.gpu, &snapshot, &Settings::default());
    say(&match command.format {
        ListFormat::Text => output::text::gpu(&snapshot, &report, style(&std::io::stdout())),
        ListFormat::Json => output::json::gpu(&snapshot, &report),
    })?;
    Ok(match report.status(Severity::Silent) {
        Status::Pass => Exit::Pass,
        Status::Fail => Exit::Fail,
        Status::Unknown => Exit::Unknown,
    })
}
