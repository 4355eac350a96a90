//! `gpu`: looks at the GPUs of this machine once and prints what it saw, or shows them live.

use std::path::PathBuf;

use anyhow::Context;

use super::device::{self, SourceName};
use super::{Exit, ListFormat, say, style, watch};
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

    /// The deployment that is to run here, for what its modules ask for
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,

    /// Show them live on the terminal, until q or Ctrl-C; ↑ and ↓ show GPUs that do not fit
    #[arg(long, conflicts_with = "format")]
    watch: bool,

    /// Seconds between two looks of --watch
    #[arg(long, value_name = "SECONDS", default_value = "1", requires = "watch", value_parser = seconds)]
    interval: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| format!("`{text}` is no number of seconds from 0.1 to 3600"))
}

pub(super) fn run(command: &GpuCommand) -> anyhow::Result<Exit> {
    let cannot = "cannot start to look at the GPUs";
    if command.watch {
        watch::need_terminal()?;
        let source = Nvml::scheduled(command.library.clone(), watch::schedule(command.interval)).context(cannot)?;
        return watch::run(&command.gpu, source, command.interval);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().context("cannot wait for the GPUs")?;
    let source = Nvml::start(command.library.clone()).context(cannot)?;
    let seen = runtime.block_on(source.gpus());
    let (driver, gpus) = seen.map_err(anyhow::Error::msg)?;
    // Who has the GPUs, Docker and the deployment know.
    let mut snapshot = device::look(&[SourceName::All], command.manifest.as_deref(), None)?;
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
