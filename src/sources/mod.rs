//! Where evidence comes from: each source answers one kind of question, asynchronously, and knows no rules. Timeouts
//! are the collector's, so that a source that hangs harms nobody else.

mod docker;
mod network;
pub mod nvml;
mod pod_resources;
mod probe;
mod process;
mod proxy;
mod workload;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

pub use docker::{Docker, EngineAnswers};
pub use network::{Ports, Surroundings};
pub use pod_resources::PodResources;
pub use process::OwnProcess;
pub use workload::WorkloadList;

use crate::evidence::{Engine, Gpu, GpuDriver, Grants, Network, Process, RuntimeTwins, Sibling, SiblingTwin, Snapshot};
use crate::manifest::Manifest;

/// One source of evidence.
pub trait Source: Send + Sync {
    /// Its name in reports: `nvml`, `docker`.
    fn name(&self) -> &'static str;

    /// What it is asked.
    fn question(&self) -> Question;

    /// Looks once. An error is the reason why it could not, for people.
    fn look(&self) -> Look<'_>;

    /// How old what it said last is already: not at all for a source that looks when it is asked.
    fn age(&self) -> Duration {
        Duration::ZERO
    }

    /// Hears what all sources together know, for a source that goes by it when it looks again.
    fn learn(&self, _known: &Snapshot) {}

    /// Ready when there is something new to see, for sources that are told; the others are asked again in time.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// What a source can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How was the deployment written?
    Manifest,
    /// What runs?
    Modules,
    /// What do siblings report?
    Reports,
    /// Which modules does IoT Edge list?
    Siblings,
    /// What does the Docker engine know of the modules?
    Engine,
    /// What does the process that looks know of itself?
    Process,
    /// What can be reached over the network?
    Network,
    /// Which GPUs are there, and what do they do?
    Gpus,
    /// Which devices did the kubelet give to whom?
    Grants,
}

/// A look in progress; `None` where there is nothing for the source to look at, which is no failure.
pub type Look<'a> = Pin<Box<dyn Future<Output = Result<Option<Sight>, String>> + Send + 'a>>;

/// What a source saw.
#[derive(Debug, Clone)]
pub enum Sight {
    /// The deployment as it was written.
    Manifest(Box<Manifest>),
    /// What IoT Edge's own modules report: which modules run, what became of the deployment, who is connected.
    Twins(Box<RuntimeTwins>),
    /// What siblings report in their own twins, by module id.
    Reports(BTreeMap<String, SiblingTwin>),
    /// Every module as the workload API lists it, by its id.
    Siblings(BTreeMap<String, Sibling>),
    /// The Docker engine.
    Engine(Box<Engine>),
    /// Ourselves.
    Process(Box<Process>),
    /// The network around us.
    Network(Box<Network>),
    /// The driver of the GPUs, and every GPU.
    Gpus(GpuDriver, Vec<Gpu>),
    /// What the kubelet gave to whom.
    Grants(Box<Grants>),
}
