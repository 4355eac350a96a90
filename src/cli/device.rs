//! The device that this runs on: which sources can be reached, one look at them all, and snapshots as files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;

use super::{Exit, Style, input, say};
use crate::agent::{self, Clock};
use crate::evidence::{Observed, RuntimeTwins, Snapshot, SourceLine, Why};
use crate::iotedge::{Identity, Proof};
use crate::manifest::Manifest;
use crate::output::{Judged, status};
use crate::settings::Settings;
use crate::sources::{
    Docker, Look, OwnProcess, PodResources, Ports, Question, Sight, Source, Surroundings, WorkloadList,
};
use crate::text;
use crate::verbs::check::CheckArgs;

/// Where Docker's socket is, where nobody says otherwise.
const DOCKER: &str = "unix:///var/run/docker.sock";

/// Where the kubelet's own list is, on the host and, mounted, in a module.
const POD_RESOURCES: &str = "/var/lib/kubelet/pod-resources";

/// A source of evidence on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum SourceName {
    /// Every one that can be reached
    All,
    /// The Docker engine, at `DOCKER_HOST` or its socket: containers, limits, ports, events
    Docker,
    /// The workload API of IoT Edge: the modules that it lists
    Workload,
    /// This process: its limits, mounts and proxies
    Process,
    /// The kubelet, at its folder pod-resources: who was given which GPU
    PodResources,
    /// The network: siblings, edgeHub, IoT Hub, straight and through proxies
    Network,
}

/// What is looked at.
#[derive(Debug, clap::Args)]
struct LookArgs {
    /// Where to look
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SOURCE", default_value = "all")]
    source: Vec<SourceName>,

    /// The deployment that is to run here; its secrets are overwritten
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// The twin of $edgeAgent as IoT Hub shows it, or a list of twins; without --manifest also the deployment
    #[arg(long, value_name = "FILE")]
    twin: Option<PathBuf>,
}

/// What is judged by.
#[derive(Debug, clap::Args)]
pub(super) struct JudgeArgs {
    #[command(flatten)]
    pub(super) check: CheckArgs,

    /// Settings to use in place of .edgeshift.toml in the current folder; flags win over both
    #[arg(long, value_name = "FILE")]
    pub(super) settings: Option<PathBuf>,
}

impl JudgeArgs {
    /// The settings in force.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        Ok(self.check.settings(&input::settings(self.settings.as_deref())?)?)
    }
}

/// What `snapshot` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct SnapshotCommand {
    #[command(flatten)]
    look: LookArgs,

    /// The file to write; stdout without it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What `status` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct StatusCommand {
    #[command(flatten)]
    look: LookArgs,

    /// Show this snapshot, and look at nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "manifest", "twin"])]
    snapshot: Option<PathBuf>,

    #[command(flatten)]
    judge: JudgeArgs,

    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: super::ListFormat,
}

/// Takes a snapshot and writes it down.
pub(super) fn snapshot(command: &SnapshotCommand) -> anyhow::Result<Exit> {
    let json = command.look.look()?.to_json();
    match &command.output {
        None => say(&json)?,
        Some(path) => write(path, &json).with_context(|| format!("cannot write {}", path.display()))?,
    }
    Ok(Exit::Pass)
}

/// Shows how every module stands.
pub(super) fn status(command: &StatusCommand, style: Style) -> anyhow::Result<Exit> {
    let settings = command.judge.settings()?;
    let snapshot = match &command.snapshot {
        Some(path) => read(path)?,
        None => command.look.look()?,
    };
    let judged = Judged::of_device(snapshot, &settings, &command.judge.check);
    say(&match command.format {
        super::ListFormat::Text => status::text(&judged, None, style.width),
        super::ListFormat::Json => status::json(&judged, None),
    })?;
    Ok(Exit::Pass)
}

impl LookArgs {
    fn look(&self) -> anyhow::Result<Snapshot> {
        look(&self.source, self.manifest.as_deref(), self.twin.as_deref())
    }
}

/// Looks once at `names` and joins the deployment in the file `manifest` and the twins in the file `twin`. What comes back
/// holds no secret, and is what its file will say.
pub(super) fn look(names: &[SourceName], manifest: Option<&Path>, twin: Option<&Path>) -> anyhow::Result<Snapshot> {
    let twins = twin.map(twins).transpose()?;
    let manifest = match manifest {
        Some(path) => Some(input::one(path).map_err(anyhow::Error::msg)?),
        None => twins.as_ref().map(deployment).transpose()?.flatten(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start looking at the device")?;
    let entered = runtime.enter();
    let clock = Clock::system();
    let (mut sources, mut left_out) = sources(names, clock);
    sources.extend(twins.map(|twins| Arc::new(TwinFile(twins)) as Arc<dyn Source>));
    if let Some(manifest) = &manifest {
        let known = Snapshot::of_manifest(manifest.clone(), clock.now());
        for source in &sources {
            source.learn(&known);
        }
    }
    let mut snapshot = runtime.block_on(agent::look_once(&sources, clock));
    // Not waited for: a name that is looked up, or a share whose server is away.
    drop(entered);
    runtime.shutdown_background();
    snapshot.sources.append(&mut left_out);
    if let Some(manifest) = manifest {
        snapshot.manifest = Observed::Known(manifest);
    }
    snapshot.without_secrets().context("internal error: the snapshot cannot be read back")
}

/// The twins in the file at `path`.
fn twins(path: &Path) -> anyhow::Result<RuntimeTwins> {
    let name = path.display().to_string();
    let text = input::open(path, &name).map_err(anyhow::Error::msg)?;
    RuntimeTwins::read(&text).with_context(|| {
        format!("{name} is no twin: expected `properties` with `desired`, as `az iot hub module-twin show` prints it")
    })
}

/// The deployment in the twin of `$edgeAgent`.
fn deployment(twins: &RuntimeTwins) -> anyhow::Result<Option<Manifest>> {
    let text = twins.manifest_text();
    let read = text.map(|text| Manifest::read(&text::Source::new("the twin of $edgeAgent", text)));
    read.transpose().context("cannot read the deployment in the twin")
}

/// Twins that somebody read from IoT Hub.
struct TwinFile(RuntimeTwins);

impl Source for TwinFile {
    fn name(&self) -> &'static str {
        "twin"
    }

    fn question(&self) -> Question {
        Question::Modules
    }

    fn look(&self) -> Look<'_> {
        Box::pin(std::future::ready(Ok(Some(Sight::Twins(Box::new(self.0.clone()))))))
    }
}

/// The snapshot in the file at `path`.
pub(super) fn read(path: &Path) -> anyhow::Result<Snapshot> {
    let name = path.display().to_string();
    let text = input::open(path, &name).map_err(anyhow::Error::msg)?;
    Snapshot::from_json(&text).with_context(|| format!("cannot use {name}"))
}

/// The sources of `names`; and lines for those that nobody asked for by name and that are not here.
pub(super) fn sources(names: &[SourceName], clock: Clock) -> (Vec<Arc<dyn Source>>, Vec<SourceLine>) {
    let (mut sources, mut left_out): (Vec<Arc<dyn Source>>, Vec<SourceLine>) = (Vec::new(), Vec::new());
    let all = names.contains(&SourceName::All);
    let mut leave_out = |name: &str, why: String| {
        let answer = Observed::Unknown(Why::not_given(why));
        left_out.push(SourceLine { name: name.to_owned(), answer, latency_ms: 0, taken_at: clock.now() });
    };
    let docker = variable("DOCKER_HOST").unwrap_or_else(|| DOCKER.to_owned());
    let is_there = docker.strip_prefix("unix://").is_none_or(|path| Path::new(path).exists());
    if names.contains(&SourceName::Docker) || (all && is_there) {
        sources.push(Arc::new(Docker::new(docker)));
    } else if all {
        leave_out("docker", format!("there is no socket at {docker}"));
    }
    if all || names.contains(&SourceName::Workload) {
        match Identity::from_variables(variable).map(|identity| identity.proof) {
            Ok(Proof::Workload(workload)) => sources.push(Arc::new(WorkloadList(workload))),
            Ok(Proof::Key(..)) => leave_out("workload", "a connection string stands for the workload API".to_owned()),
            Err(error) => leave_out("workload", error.to_string()),
        }
    }
    if all || names.contains(&SourceName::Process) {
        sources.push(Arc::new(OwnProcess::new("/", variables())));
    }
    let kubelet = PodResources::new(POD_RESOURCES);
    if names.contains(&SourceName::PodResources) || (all && kubelet.socket().exists()) {
        sources.push(Arc::new(kubelet));
    } else if all {
        leave_out("pod-resources", format!("there is no socket at {}", kubelet.socket().display()));
    }
    if all || names.contains(&SourceName::Network) {
        match Identity::from_variables(variable) {
            Ok(identity) => sources.push(Arc::new(Surroundings::new(&identity, variables(), Ports::default()))),
            Err(error) => leave_out("network", error.to_string()),
        }
    }
    (sources, left_out)
}

/// Writes a file that is there as a whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = std::fs::File::create(&part)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&part, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&part);
    })
}

#[expect(clippy::disallowed_methods, reason = "the command line reads the environment and hands it over as data")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables that are text; the others are nobody's proxy.
fn variables() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
