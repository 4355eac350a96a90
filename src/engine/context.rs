//! What rules know besides their subject, found once for all of them.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::evidence::{Grants, Snapshot};
use crate::kube_model::objects::is_plain;
use crate::kube_model::{AgentSettings, Calls};
use crate::manifest::{GPU, Manifest, Module};
use crate::settings::{Settings, Site};
use crate::target::{Agent, Platform, Target};
use crate::text::NodeId;

/// What a rule knows besides its subject.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where the deployment is to run.
    pub target: Target,
    /// The IoT Edge agent on Kubernetes.
    pub agent: Agent,
    /// Its settings, as far as they are known.
    pub(crate) agent_settings: AgentSettings,
    /// Facts about the site.
    pub site: &'a Site,
    /// Which module calls which other one: found once, since each rule that asks would look through all of them.
    pub(crate) calls: Calls<'a>,
    /// Whether somebody counts on a GPU: a module that asks for one, or the settings that name some.
    pub expects_gpus: bool,
    /// What the kubelet gave to whom, where it was asked.
    pub grants: Option<&'a Grants>,
    /// Whether a module counts on the Multi-Process Service, by its variables `CUDA_MPS_…`.
    pub expects_mps: bool,
    /// When the snapshot was taken.
    pub now: Timestamp,
    /// The modules against which neither the agent nor Kubernetes has anything to say, told at a glance.
    plain: BTreeSet<NodeId>,
}

impl<'a> Context<'a> {
    /// What is known before any rule looks.
    pub(super) fn of(snapshot: &'a Snapshot, settings: &'a Settings) -> Self {
        let manifest = snapshot.manifest.known();
        let agent_settings = AgentSettings::of(settings.agent);
        let modules = manifest.into_iter().flat_map(Manifest::modules);
        let modules = modules.filter(|_| settings.target.platform == Platform::AseK8s);
        let plain = modules.filter(|module| is_plain(*module, &agent_settings)).map(|module| module.entry().id());
        Self {
            target: settings.target,
            agent: settings.agent,
            plain: plain.collect(),
            agent_settings,
            site: &settings.site,
            calls: manifest.map(Calls::of).unwrap_or_default(),
            grants: snapshot.grants.known(),
            expects_gpus: settings.site.gpus.is_some_and(|gpus| gpus > 0) || asks_for_gpus(snapshot),
            expects_mps: asks_for_mps(snapshot),
            now: snapshot.taken_at,
        }
    }

    /// Whether neither the agent nor Kubernetes has anything to say against `module`, names of variables aside. `false` says
    /// nothing.
    pub(crate) fn is_plain(&self, module: Module<'_>) -> bool {
        self.plain.contains(&module.entry().id())
    }
}

fn asks_for_gpus(snapshot: &Snapshot) -> bool {
    let mut modules = snapshot.manifest.known().into_iter().flat_map(Manifest::modules);
    modules.any(|module| module.limit(GPU).is_some() || !module.docker_gpus().is_empty())
}

fn asks_for_mps(snapshot: &Snapshot) -> bool {
    let mut modules = snapshot.manifest.known().into_iter().flat_map(Manifest::modules);
    let mut containers = snapshot.engine.known().into_iter().flat_map(|engine| engine.containers.values());
    modules.any(|module| module.env().iter().any(|variable| variable.name.starts_with("CUDA_MPS_")))
        || containers.any(|container| container.gpus.mps && container.is_running())
}
