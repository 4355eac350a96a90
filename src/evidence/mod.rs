//! What can be known about a device, as data: a [`Snapshot`] of what was written and what was seen.

mod attribution;
mod conflict;
mod docker;
mod file;
mod gpu;
mod gpu_window;
mod network;
mod owner;
mod process;
mod twins;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use attribution::{Asked, AskedBy, GpuUse, Grant, Granted, GrantedBy, Grants, Holder, ModuleGpus};
pub use conflict::{About, Conflict, Statement};
pub use docker::{
    Container, ContainerStatus, DeviceRequest, Engine, GpuOptions, History, ImageId, Limits, Mounted, ProcessorTime,
    Proxy, ProxyAnswer, PublishedPort,
};
pub use file::SnapshotError;
pub use network::{ClockOffset, Detour, IotHub, MetricsPage, Network, Peer, Reach, Sidecar};
pub use owner::Owner;
pub use process::{Namespaces, Process, Space, Volume};
pub use twins::{AgentTwin, Client, ReportedModule, RuntimePlatform, RuntimeTwins, SiblingTwin, clients};

use crate::manifest::{Form, Manifest, Module};

pub use gpu::{
    CallError, ClockEvent, ClockLimit, Corrected, DriverState, Ecc, Gpu, GpuDriver, GpuInstance, GpuProcess, GpuState,
    Mps, NvLink, Pcie, PcieBaseline, Pids, RemappedRows, RetiredPages, Traffic, Xid,
};
pub use gpu_window::{GpuWindow, GpuWindows};

/// An answer that may be missing for a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed<T> {
    /// The source answered.
    Known(T),
    /// The source answered: there is none.
    Absent,
    /// No source answered.
    Unknown(Why),
}

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// What is missing, for people: `the shares of the site`.
    pub what: Cow<'static, str>,
    /// Whether a source that was given should have supplied it. What nobody was asked for is no failure.
    pub expected: bool,
}

impl Why {
    /// Nobody gave a source for it.
    pub fn not_given(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), expected: false }
    }

    /// A source was given and could not answer.
    pub fn failed(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), expected: true }
    }
}

impl<T> Observed<T> {
    /// Unknown, because nobody gave a source for it.
    pub fn not_given(what: impl Into<Cow<'static, str>>) -> Self {
        Observed::Unknown(Why::not_given(what))
    }

    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Observed::Known(value) => Some(value),
            _ => None,
        }
    }

    /// A source that was given could not answer, for the reason `why`; what another one said stays.
    pub fn failed(&mut self, why: String) {
        if self.known().is_none() {
            *self = Observed::Unknown(Why::failed(why));
        }
    }
}

/// Everything that is known at one moment. The engine sees nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// The moment; "now" for every rule.
    pub taken_at: Timestamp,
    /// Who was asked, and what came of it.
    pub sources: Vec<SourceLine>,
    /// The deployment as it was written.
    #[serde(with = "file::masked")]
    pub manifest: Observed<Manifest>,
    /// What runs, by module id.
    pub modules: Observed<BTreeMap<String, ModuleState>>,
    /// What `$edgeAgent` reports of itself.
    pub agent: Observed<AgentTwin>,
    /// The modules that edgeHub knows as its clients, by module id.
    pub clients: Observed<BTreeMap<String, Client>>,
    /// What siblings report, by module id.
    pub twins: Observed<BTreeMap<String, SiblingTwin>>,
    /// The siblings as IoT Edge lists them, by module id.
    pub siblings: Observed<BTreeMap<String, Sibling>>,
    /// What the Docker engine knows of the modules.
    pub engine: Observed<Engine>,
    /// The process that looked.
    pub process: Observed<Process>,
    /// The network around it; snapshots of before it was looked at have none.
    #[serde(default = "unseen_network")]
    pub network: Observed<Network>,
    /// The GPUs.
    pub gpus: Observed<Vec<Gpu>>,
    /// Their driver.
    pub gpu_driver: Observed<GpuDriver>,
    /// What the kubelet gave to whom.
    #[serde(default = "no_grants")]
    pub grants: Observed<Grants>,
}

fn no_grants() -> Observed<Grants> {
    Observed::Unknown(Why::not_given("the kubelet's list of devices"))
}

/// What became of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Its name: `docker`.
    pub name: String,
    /// Known: it answered; absent: it has nothing to look at; unknown: why it did not answer.
    pub answer: Observed<()>,
    /// How long that took, ms.
    pub latency_ms: u64,
    /// When it was done. What it said is as old as that.
    pub taken_at: Timestamp,
}

/// A module of the same device as the workload API lists it (`iotedge-protocol.md` §C): of its options only the labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    /// Its image.
    pub image: String,
    /// The digest of its image, `sha256:…`.
    pub digest: Option<String>,
    /// The names of its labels: what they hold may be secret.
    pub labels: Vec<String>,
    /// What the runtime says: `running`, `stopped` …
    pub status: String,
}

impl Snapshot {
    /// A snapshot of a manifest alone: nothing was observed, and nobody was asked to.
    pub fn of_manifest(manifest: Manifest, taken_at: Timestamp) -> Self {
        Self { manifest: Observed::Known(manifest), ..Self::empty(taken_at) }
    }

    /// A snapshot for which nobody was asked anything.
    pub fn empty(taken_at: Timestamp) -> Self {
        Self {
            taken_at,
            sources: Vec::new(),
            manifest: Observed::Unknown(Why::not_given("a deployment manifest")),
            modules: Observed::Unknown(Why::not_given("the state of the running modules")),
            agent: Observed::Unknown(Why::not_given("the twin of $edgeAgent")),
            clients: Observed::Unknown(Why::not_given("the twin of $edgeHub")),
            twins: Observed::Unknown(Why::not_given("a route of twin changes")),
            siblings: Observed::Unknown(Why::not_given("IoT Edge's list of modules")),
            engine: Observed::Unknown(Why::not_given("the Docker engine")),
            process: Observed::Unknown(Why::not_given("the process that looks")),
            network: unseen_network(),
            gpus: Observed::Unknown(Why::not_given("the GPUs of the device")),
            gpu_driver: Observed::Unknown(Why::not_given("the driver of the GPUs")),
            grants: no_grants(),
        }
    }
}

fn unseen_network() -> Observed<Network> {
    Observed::not_given("the network of the device")
}

impl Snapshot {
    /// Takes in what a look at the GPUs found: none where there is no driver, and nothing is known where it does not answer.
    pub fn see_gpus(&mut self, driver: GpuDriver, gpus: Vec<Gpu>) {
        self.gpus = match driver.state {
            DriverState::Up => Observed::Known(gpus),
            DriverState::NoLibrary | DriverState::NotLoaded => Observed::Absent,
            _ => Observed::Unknown(Why::failed("the GPUs: their driver does not answer")),
        };
        self.gpu_driver = Observed::Known(driver);
    }
}

impl Snapshot {
    /// How many sources answered.
    pub fn answered(&self) -> usize {
        self.sources.iter().filter(|line| line.answer.known().is_some()).count()
    }

    /// Every module that anybody knows of, by its id. Bare createOptions name none.
    pub fn module_ids(&self) -> BTreeSet<&str> {
        let manifest = self.manifest.known().filter(|manifest| manifest.form() != Form::CreateOptions);
        let declared = manifest.into_iter().flat_map(Manifest::modules).map(Module::id);
        let reported = self.modules.known().into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        let listed = self.siblings.known().into_iter().flat_map(BTreeMap::keys).map(String::as_str);
        let seen = self.engine.known().into_iter().flat_map(|engine| engine.containers.keys()).map(String::as_str);
        declared.chain(reported).chain(listed).chain(seen).collect()
    }

    /// What the module `id` does, in the words of who knows it best: the engine, the agent, the list of modules.
    /// A container that is started again and again is `crashing` all the time.
    pub fn state(&self, id: &str) -> Option<&'static str> {
        let container = self.engine.known().and_then(|engine| engine.containers.get(id));
        let of_container =
            |container: &Container| if container.is_looping() { "crashing" } else { container.status.word() };
        let reported = self.modules.known().and_then(|modules| modules.get(id));
        let of_report = |state: &ModuleState| if state.is_starting() { "starting" } else { state.status.word() };
        let listed = self.siblings.known().and_then(|modules| modules.get(id));
        let of_list = |sibling: &Sibling| RuntimeStatus::of_word(&sibling.status).word();
        container.map(of_container).or(reported.map(of_report)).or(listed.map(of_list))
    }

    /// Since when it does that, where that is known.
    pub fn state_since(&self, id: &str) -> Option<Timestamp> {
        let container = self.engine.known().and_then(|engine| engine.containers.get(id));
        let reported = self.modules.known().and_then(|modules| modules.get(id));
        container.map_or(reported.map(|state| state.since), Container::since)
    }
}

/// What IoT Edge reports of a module (`$edgeAgent` reported properties, `ase-runtime.md` §2.7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModuleState {
    /// `runtimeStatus`.
    pub status: RuntimeStatus,
    /// `statusDescription`, word for word.
    pub description: String,
    /// `exitCode` of the last run; 0 while none ended.
    pub exit_code: i64,
    /// Since when we have seen this status and description.
    pub since: Timestamp,
}

impl ModuleState {
    /// Whether it has only just been started: on Kubernetes IoT Edge then says `backoff` with the reason
    /// `ContainerCreating` (STS-001), which is no failure.
    pub fn is_starting(&self) -> bool {
        self.status == RuntimeStatus::Backoff && self.description.ends_with("reason: ContainerCreating")
    }

    /// Whether its pod was never given a container: failed with an empty Kubernetes reason (STS-003).
    pub fn is_unscheduled(&self) -> bool {
        self.status == RuntimeStatus::Failed
            && self.description.starts_with("Module Failed with container status Unknown")
            && self.description.contains("K8s reason:  with message:")
    }
}

/// `runtimeStatus` of a module (`iothub-limits.md` §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeStatus {
    /// Up.
    Running,
    /// Ended, or told to.
    Stopped,
    /// Ended with an error, or never scheduled.
    Failed,
    /// Waiting, which on Kubernetes covers a normal start (STS-001).
    Backoff,
    /// A health check failed (Docker only).
    Unhealthy,
    /// Nobody knows.
    Unknown,
}

impl RuntimeStatus {
    /// The status that the twin calls `word`; a word that we don't know is [`RuntimeStatus::Unknown`].
    pub fn of_word(word: &str) -> Self {
        let all = [Self::Running, Self::Stopped, Self::Failed, Self::Backoff, Self::Unhealthy];
        all.into_iter().find(|status| status.word().eq_ignore_ascii_case(word)).unwrap_or(Self::Unknown)
    }

    /// The word in the twin.
    pub fn word(self) -> &'static str {
        match self {
            RuntimeStatus::Running => "running",
            RuntimeStatus::Stopped => "stopped",
            RuntimeStatus::Failed => "failed",
            RuntimeStatus::Backoff => "backoff",
            RuntimeStatus::Unhealthy => "unhealthy",
            RuntimeStatus::Unknown => "unknown",
        }
    }
}
