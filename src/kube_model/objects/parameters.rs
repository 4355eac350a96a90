//! A module as the agent hands it to its mappers (`k8s-translation.md` §1 and §2, class `CombinedKubernetesConfigProvider`).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::apps::v1::DeploymentStrategy;
use k8s_openapi::api::core::v1::{PodSecurityContext, ResourceRequirements, Volume, VolumeMount};
use serde::{Deserialize, Serialize};

use super::super::lenient::{self, ShapeError};
use super::super::names::{annotation_key, k8s_value};
use super::super::{AgentSettings, ServiceKind};
use super::shape::CREATE_OPTIONS;
use super::{Fault, FaultKind, Labels, Stage};
use crate::manifest::{Form, Module, Options};
use crate::target::Agent;
use crate::text::{At, Kind};

/// What the agent reads of createOptions into properties of its own; all else is kept aside, by name.
const KNOWN: [&str; 7] = ["Image", "Env", "ExposedPorts", "HostConfig", "Labels", "Name", "NetworkingConfig"];

/// A module, ready to be mapped.
#[derive(Debug)]
pub struct Parameters<'m> {
    /// The module of the manifest.
    pub module: Module<'m>,
    /// Its name on Kubernetes.
    pub name: String,
    /// The image, with `:latest` where it has no tag.
    pub image: String,
    /// Whether it is not to run.
    pub stopped: bool,
    /// The secret for its image.
    pub pull_secret: Option<String>,
    /// `Cmd`.
    pub cmd: Option<Vec<String>>,
    /// `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `k8s-experimental`; none where it is missing, no object, or switched off.
    pub extensions: Option<Extensions>,
    /// `Binds` that the runtime adds: sockets of its own.
    pub runtime_binds: Vec<String>,
}

/// `k8s-experimental`. What is `null` there is none here; what is empty is empty.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extensions {
    /// `nodeSelector`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// `resources`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// `volumes`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<ModuleVolume>>,
    /// `securityContext`, of the pod
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,
    /// `serviceOptions`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_options: Option<ServiceOptions>,
    /// `strategy`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<DeploymentStrategy>,
}

/// One entry of `k8s-experimental.volumes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleVolume {
    /// The pod's volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// Where the container sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mounts: Option<Vec<VolumeMount>>,
}

/// `k8s-experimental.serviceOptions`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ServiceOptions {
    /// `type`; unknown ones count as none.
    #[serde(rename = "type")]
    pub kind: Option<ServiceKind>,
    /// `loadBalancerIP`, as it is written.
    #[serde(rename = "loadBalancerIP")]
    pub address: Option<String>,
}

#[derive(Deserialize)]
struct RawServiceOptions {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "loadBalancerIP")]
    address: Option<String>,
}

impl<'m> Parameters<'m> {
    /// Reads `module` as the agent with `settings` does.
    ///
    /// # Errors
    /// What the agent throws before it writes anything.
    pub fn read(module: Module<'m>, settings: &AgentSettings) -> Result<Self, Box<Fault>> {
        let plan = |kind, at, message: &str| Fault::new(module, Stage::Plan, kind, at, message);
        if let Options::Broken { node, .. } = module.options() {
            let at = module.manifest().document().at(*node);
            return Err(Box::new(plan(FaultKind::Json, at, "createOptions are not JSON")));
        }
        let name = k8s_value(module.id())
            .ok_or_else(|| plan(FaultKind::InvalidName, module.entry(), "the name has more than 253 characters"))?;
        if let Some(at) = twice(module).filter(|_| settings.agent >= Agent::beta(12)) {
            let message = format!("`{}` stands here in two spellings", at.key().unwrap_or_default());
            return Err(Box::new(plan(FaultKind::Argument, at, &message)));
        }
        let mut parameters = Self {
            module,
            name,
            image: image(module).ok_or_else(|| plan(FaultKind::Argument, image_place(module), "there is no image"))?,
            stopped: module.is_stopped() && settings.agent >= Agent::beta(4),
            pull_secret: None,
            cmd: None,
            entrypoint: None,
            working_dir: None,
            extensions: None,
            runtime_binds: runtime_binds(module, settings),
        };
        parameters.cmd = parameters.executed("Cmd", settings.agent)?;
        parameters.entrypoint = parameters.executed("Entrypoint", settings.agent)?;
        if let Some(at) = parameters.late("WorkingDir", settings.agent) {
            let text = at.as_text().ok_or_else(|| plan(FaultKind::Argument, at, "WorkingDir is no text"))?;
            parameters.working_dir = Some(text.to_owned());
        }
        if settings.extensions
            && let Some(at) = module.option(&["k8s-experimental"]).filter(|at| at.kind() == Kind::Object)
        {
            parameters.extensions = Some(Extensions::read(at, settings.agent).map_err(|error| {
                let at = error.node.map_or(at, |node| module.manifest().document().at(node));
                plan(FaultKind::Json, at, &error.message)
            })?);
        }
        parameters.typed()?;
        Ok(parameters)
    }

    /// `HostConfig` → `key`, unless it is null.
    pub(super) fn host_option(&self, key: &str) -> Option<At<'m>> {
        self.module.option(&["HostConfig", key]).filter(|at| at.kind() != Kind::Null)
    }

    /// The Docker labels as annotations.
    ///
    /// # Errors
    /// No annotation can be made of a key, or two become one.
    pub(super) fn annotations(&self, stage: Stage) -> Result<Labels, Box<Fault>> {
        let mut annotations = Labels::new();
        let labels = self.module.option(&["Labels"]);
        for at in labels.into_iter().flat_map(At::members) {
            let fault = |kind, message: String| Box::new(Fault::new(self.module, stage, kind, at, message));
            let label = at.key().unwrap_or_default();
            let key = annotation_key(label)
                .map_err(|reason| fault(FaultKind::InvalidName, format!("the label `{label}` {reason}")))?;
            match annotations.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(at.as_text().unwrap_or_default().to_owned());
                }
                Entry::Occupied(taken) => {
                    let message = format!("two labels become the annotation `{}`", taken.key());
                    return Err(fault(FaultKind::Argument, message));
                }
            }
        }
        Ok(annotations)
    }

    /// A list of words at the top: `Cmd` and `Entrypoint`.
    fn executed(&self, key: &str, agent: Agent) -> Result<Option<Vec<String>>, Box<Fault>> {
        let Some(at) = self.late(key, agent) else { return Ok(None) };
        Ok(Some(lenient::read(at).map_err(|error: ShapeError| self.unreadable(at, &error))?))
    }

    /// One of the keys that beta6 brought, which has to be spelled exactly before beta12.
    fn late(&self, key: &str, agent: Agent) -> Option<At<'m>> {
        let root = self.module.manifest().document().at(self.module.options().root()?);
        let found = match agent {
            agent if agent < Agent::beta(6) => None,
            agent if agent < Agent::beta(12) => root.get(key),
            _ => root.get_ignoring_case(key),
        };
        found.filter(|at| at.kind() != Kind::Null)
    }

    /// Whether what the agent reads into properties of its own has their types.
    fn typed(&self) -> Result<(), Box<Fault>> {
        let Some(root) = self.module.options().root() else { return Ok(()) };
        let root = self.module.manifest().document().at(root);
        CREATE_OPTIONS.check(root).map_err(|error| Box::new(self.unreadable(root, &error)))
    }

    fn unreadable(&self, at: At<'m>, error: &ShapeError) -> Fault {
        let at = error.node.map_or(at, |node| self.module.manifest().document().at(node));
        Fault::new(self.module, Stage::Plan, FaultKind::Json, at, error.message.clone())
    }
}

impl Extensions {
    /// Reads the object `at` as the agent of that version does; what it does not know yet is left out.
    pub(crate) fn read(at: At<'_>, agent: Agent) -> Result<Self, ShapeError> {
        let known =
            |key: &str| at.get_ignoring_case(key).filter(|at| at.kind() != Kind::Null && Self::knows(key, agent));
        let raw: Option<RawServiceOptions> = known("serviceOptions").map(lenient::read).transpose()?;
        let mut extensions = Self {
            node_selector: known("nodeSelector").map(lenient::read).transpose()?,
            resources: known("resources").map(lenient::read).transpose()?,
            volumes: known("volumes").map(lenient::read).transpose()?,
            security_context: known("securityContext").map(lenient::read).transpose()?,
            service_options: raw.map(|raw| ServiceOptions {
                kind: raw.kind.as_deref().and_then(ServiceKind::parse),
                address: raw.address,
            }),
            strategy: known("strategy").map(lenient::read).transpose()?,
        };
        extensions.forget_newer_fields();
        Ok(extensions)
    }

    /// Drops what Kubernetes got after 1.16, whose types the agent has: its JSON library passes over unknown fields.
    fn forget_newer_fields(&mut self) {
        if let Some(resources) = &mut self.resources {
            resources.claims = None;
        }
        for entry in self.volumes.iter_mut().flatten() {
            if let Some(volume) = &mut entry.volume {
                (volume.ephemeral, volume.image) = (None, None);
                let sources = volume.projected.iter_mut().flat_map(|projected| projected.sources.iter_mut().flatten());
                sources.for_each(|source| source.cluster_trust_bundle = None);
            }
            entry.volume_mounts.iter_mut().flatten().for_each(|mount| mount.recursive_read_only = None);
        }
        if let Some(context) = &mut self.security_context {
            context.app_armor_profile = None;
            context.fs_group_change_policy = None;
            context.seccomp_profile = None;
            context.se_linux_change_policy = None;
            context.supplemental_groups_policy = None;
            if let Some(windows) = &mut context.windows_options {
                windows.host_process = None;
            }
        }
    }

    pub(super) fn knows(key: &str, agent: Agent) -> bool {
        let since = match key.to_ascii_lowercase().as_str() {
            "nodeselector" | "resources" | "volumes" => 3,
            "securitycontext" => 5,
            "strategy" => 8,
            "serviceoptions" => 10,
            _ => return false,
        };
        agent >= Agent::beta(since)
    }
}

/// A key that the agent does not know and that stands there in two spellings.
fn twice(module: Module<'_>) -> Option<At<'_>> {
    let root = module.manifest().document().at(module.options().root()?);
    let unknown = |key: &str| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(key));
    // One spelling twice is one property, with the later value.
    let (mut exact, mut folded) = (HashSet::new(), HashSet::new());
    root.members().find(|at| {
        at.key().is_some_and(|key| unknown(key) && exact.insert(key) && !folded.insert(key.to_ascii_lowercase()))
    })
}

/// Where the image is written, or else the module.
fn image_place(module: Module<'_>) -> At<'_> {
    let written = module.entry().get("settings").and_then(|settings| settings.get_ignoring_case("image"));
    written.unwrap_or(module.entry())
}

/// The image, with the tag that the agent adds. createOptions alone and layers over other deployments need none.
pub(super) fn image(module: Module<'_>) -> Option<String> {
    let partial = matches!(module.manifest().form(), Form::CreateOptions | Form::Layered);
    let settings = module.entry().get("settings");
    let written = settings.and_then(|settings| settings.get_ignoring_case("image")).and_then(At::as_str).map(str::trim);
    let image = match written.filter(|image| !image.is_empty()) {
        None if partial => "IMAGE",
        image => image?,
    };
    let last = image.rsplit('/').next().unwrap_or(image);
    let tagged = last.contains(':') || last.contains('@') || image.contains("${");
    Some(if tagged { image.to_owned() } else { format!("{image}:latest") })
}

/// The sockets that the runtime mounts into modules where its interfaces are sockets (`k8s-translation.md` §1.3).
fn runtime_binds(module: Module<'_>, settings: &AgentSettings) -> Vec<String> {
    let socket = |uri: &str| uri.strip_prefix("unix://").map(|path| format!("{path}:{path}"));
    let is_agent = module.is_system() && module.id() == "edgeAgent";
    let management = is_agent.then(|| socket(&settings.management_uri)).flatten();
    socket(&settings.workload_uri).into_iter().chain(management).collect()
}
