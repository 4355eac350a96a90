//! The Deployment of a module (`k8s-translation.md` §1, §2 and §6, class `KubernetesDeploymentMapper`).

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ContainerPort, EnvVar, HostPathVolumeSource, LocalObjectReference,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::super::agent_settings::ConfigVolume;
use super::super::names::{dns_label, dns_value};
use super::super::{AgentSettings, GATEWAY};
use super::parameters::Parameters;
use super::place::Origin;
use super::{Fault, FaultKind, Labels, MODULE_ID, Stage, creation_string, metadata, service};
use crate::manifest::{EnvVar as Variable, Module};
use crate::target::Agent;
use crate::text::{At, Kind};

/// What the agent creates where a path of the host does not exist.
const HOST_PATH_TYPE: &str = "DirectoryOrCreate";

/// The container that carries the workload API to the module.
const PROXY: &str = "proxy";

/// The Deployment of a module.
///
/// # Errors
/// What the mapper throws: incomplete mounts, and names that cannot be made.
pub fn deployment(
    parameters: &Parameters<'_>,
    labels: &Labels,
    settings: &AgentSettings,
) -> Result<Deployment, Box<Fault>> {
    let mut annotations = parameters.annotations(Stage::Deployments)?;
    annotations.insert(MODULE_ID.to_owned(), parameters.module.id().to_owned());
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            name: Some(parameters.name.clone()),
            labels: Some(labels.clone()),
            annotations: Some(annotations),
            ..Default::default()
        }),
        spec: Some(pod(parameters, settings)?),
    };
    let extensions = parameters.extensions.as_ref();
    let mut deployment = Deployment {
        metadata: metadata(&parameters.name, labels, None, settings),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::from(!parameters.stopped)),
            selector: LabelSelector { match_labels: Some(labels.clone()), ..Default::default() },
            strategy: extensions.and_then(|extensions| extensions.strategy.clone()),
            template,
            ..Default::default()
        }),
        status: None,
    };
    let (key, value) = creation_string(&deployment);
    deployment.metadata.annotations = Some([(key, value)].into());
    Ok(deployment)
}

fn pod(parameters: &Parameters<'_>, settings: &AgentSettings) -> Result<PodSpec, Box<Fault>> {
    let agent = settings.agent;
    let extensions = parameters.extensions.as_ref();
    let env = parameters.module.option(&["Env"]);
    if let Some(at) = env.into_iter().flat_map(At::items).find(|at| at.kind() == Kind::Null) {
        return Err(Box::new(null_element(parameters, at)));
    }
    let storage = Storage::of(parameters, settings)?;
    // Only the configuration is mounted read-only, as the volumes of config maps all are anyway.
    let proxy_mounts = [(&settings.proxy_config, Some(true)), (&settings.proxy_trust, None)];
    let proxy_mounts = proxy_mounts.into_iter().filter_map(|(config, read_only)| {
        let (_, mount) = config_map(config)?;
        Some(VolumeMount { read_only, ..mount })
    });
    let volumes = storage.volumes.into_iter().map(|(volume, _)| volume).collect();
    let mounts = storage.mounts.into_iter().map(|(mount, _)| mount).collect();
    let mut secrets: Vec<LocalObjectReference> = Vec::new();
    for name in settings.proxy_pull_secret.iter().chain(&parameters.pull_secret) {
        let secret = LocalObjectReference { name: name.clone() };
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    // A mode that is given but is not `host` is false; one that is not given is unset.
    let host_mode = |key: &str, since: u8| {
        let mode = parameters.host_option(key).filter(|_| agent >= Agent::beta(since))?;
        Some(mode.as_text().is_some_and(|mode| mode.eq_ignore_ascii_case("host")))
    };
    let host_network = host_mode("NetworkMode", 11);
    let default_context =
        || PodSecurityContext { run_as_non_root: Some(true), run_as_user: Some(1000), ..Default::default() };
    let context = extensions.and_then(|extensions| extensions.security_context.clone());
    Ok(PodSpec {
        containers: vec![proxy(proxy_mounts.collect(), settings), container(parameters, mounts, settings)],
        dns_policy: (host_network == Some(true)).then(|| "ClusterFirstWithHostNet".to_owned()),
        host_ipc: host_mode("IpcMode", 10),
        host_network,
        host_pid: host_mode("PidMode", 14),
        image_pull_secrets: Some(secrets).filter(|secrets| !secrets.is_empty()),
        node_selector: extensions.and_then(|extensions| extensions.node_selector.clone()),
        security_context: context.or_else(|| settings.run_as_non_root.then(default_context)),
        service_account_name: Some(parameters.name.clone()),
        volumes: Some(volumes),
        ..Default::default()
    })
}

fn proxy(mounts: Vec<VolumeMount>, settings: &AgentSettings) -> Container {
    Container {
        name: PROXY.to_owned(),
        image: Some(settings.proxy_image.clone()),
        env: Some(vec![variable("PROXY_LOG", "Info")]),
        resources: settings.proxy_resources.clone().filter(|_| settings.agent >= Agent::beta(11)),
        volume_mounts: Some(mounts),
        ..Default::default()
    }
}

fn container(parameters: &Parameters<'_>, mounts: Vec<VolumeMount>, settings: &AgentSettings) -> Container {
    let ports = service::exposed(parameters, settings.agent).into_iter().map(|(number, protocol, _)| ContainerPort {
        container_port: number,
        protocol: Some(protocol.word().to_ascii_uppercase()),
        ..Default::default()
    });
    let asked = parameters.extensions.as_ref().and_then(|extensions| extensions.resources.clone());
    // The chart's default for edgeAgent is not known; where a setting gives none, it gets none.
    let default = settings.agent_resources.clone();
    let default = default.filter(|_| is_edge_agent(parameters) && settings.agent >= Agent::beta(11));
    Container {
        name: parameters.name.clone(),
        image: Some(parameters.image.clone()),
        command: parameters.entrypoint.clone(),
        args: parameters.cmd.clone(),
        working_dir: parameters.working_dir.clone(),
        env: Some(environment(parameters, settings)),
        ports: Some(ports.collect::<Vec<_>>()).filter(|ports| !ports.is_empty()),
        resources: asked.or(default),
        security_context: parameters
            .module
            .is_privileged()
            .then(|| SecurityContext { privileged: Some(true), ..Default::default() }),
        volume_mounts: Some(mounts).filter(|mounts| !mounts.is_empty()),
        ..Default::default()
    }
}

/// The variables in the agent's order: those of the module, those of createOptions, those of the runtime. Of two with
/// one name Kubernetes takes the later.
fn environment(parameters: &Parameters<'_>, settings: &AgentSettings) -> Vec<EnvVar> {
    let (module, agent) = (parameters.module, settings.agent);
    let mut env: Vec<EnvVar> = given_variables(module, agent).map(|given| variable(given.name, given.value)).collect();
    let has_log_level = agent >= Agent::beta(13) && env.iter().any(|given| given.name == "RuntimeLogLevel");
    let mut add = |name: &str, value: &str| env.push(variable(name, value));
    let own_id = if module.is_system() { format!("${}", module.id()) } else { module.id().to_owned() };
    add("IOTEDGE_IOTHUBHOSTNAME", &settings.hub);
    add("IOTEDGE_AUTHSCHEME", "sasToken");
    if !has_log_level {
        add("RuntimeLogLevel", "Information");
    }
    add("IOTEDGE_WORKLOADURI", &settings.workload_uri);
    // Known to the device alone: a new module gets a new one.
    add("IOTEDGE_MODULEGENERATIONID", "0");
    add("IOTEDGE_DEVICEID", &settings.device);
    add("IOTEDGE_MODULEID", &own_id);
    add("IOTEDGE_APIVERSION", "2019-01-30");
    if is_edge_agent(parameters) {
        for (name, value) in of_edge_agent(settings) {
            add(name, &value);
        }
    }
    if module.is_system() || agent >= Agent::beta(14) {
        add("EdgeDeviceHostName", &settings.host_name);
    }
    if !module.is_system() {
        add(GATEWAY, "edgehub");
    }
    env
}

/// The variables of the user that come first.
pub(super) fn given_variables(module: Module<'_>, agent: Agent) -> impl Iterator<Item = Variable<'_>> {
    module.env().into_iter().filter(move |given| {
        // Before beta12 a second `=` lost the entry.
        let lost = given.name.is_empty() || agent < Agent::beta(12) && given.value.contains('=');
        !(given.is_in_options() && lost)
    })
}

/// What edgeAgent alone is told: its own settings.
fn of_edge_agent(settings: &AgentSettings) -> Vec<(&'static str, String)> {
    let flag = |value: bool| if value { "True" } else { "False" }.to_owned();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut env = vec![
        ("Mode", "kubernetes".to_owned()),
        ("IOTEDGE_MANAGEMENTURI", settings.management_uri.clone()),
        ("NetworkId", "azure-iot-edge".to_owned()),
        ("ProxyImage", settings.proxy_image.clone()),
    ];
    env.extend(settings.proxy_pull_secret.clone().map(|name| ("ProxyImagePullSecretName", name)));
    env.extend([
        ("ProxyConfigPath", text(&settings.proxy_config.path)),
        ("ProxyConfigVolume", text(&settings.proxy_config.volume)),
        ("ProxyConfigMapName", text(&settings.proxy_config.map)),
        ("ProxyTrustBundlePath", text(&settings.proxy_trust.path)),
        ("ProxyTrustBundleVolume", text(&settings.proxy_trust.volume)),
        ("ProxyTrustBundleConfigMapName", text(&settings.proxy_trust.map)),
        ("K8sNamespace", settings.namespace.clone()),
        ("RunAsNonRoot", flag(settings.run_as_non_root)),
        ("EdgeK8sObjectOwnerApiVersion", settings.owner.api_version.clone()),
        ("EdgeK8sObjectOwnerKind", settings.owner.kind.clone()),
        ("EdgeK8sObjectOwnerName", settings.owner.name.clone()),
        ("EdgeK8sObjectOwnerUid", settings.owner.uid.clone()),
        ("PortMappingServiceType", settings.port_mapping.word().to_owned()),
        ("EnableK8sServiceCallTracing", flag(false)),
        ("UseMountSourceForVolumeName", flag(settings.source_as_volume_name)),
    ]);
    env.extend(settings.storage_class.clone().map(|class| ("StorageClassName", class)));
    if settings.claim_size > 0 {
        env.push(("PersistentVolumeClaimDefaultSizeInMb", settings.claim_size.to_string()));
    }
    env.push(("ExperimentalFeatures__enabled", flag(settings.extensions)));
    env.push(("ExperimentalFeatures__enableK8SExtensions", flag(settings.extensions)));
    env
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn is_edge_agent(parameters: &Parameters<'_>) -> bool {
    parameters.module.is_system() && parameters.module.id() == "edgeAgent"
}

fn config_map(config: &ConfigVolume) -> Option<(Volume, VolumeMount)> {
    let (path, name, map) = (config.path.clone()?, config.volume.clone()?, config.map.clone()?);
    let source = ConfigMapVolumeSource { name: map, ..Default::default() };
    let volume = Volume { name: name.clone(), config_map: Some(source), ..Default::default() };
    Some((volume, VolumeMount { name, mount_path: path, read_only: Some(true), ..Default::default() }))
}

/// The volumes of a module, and where its container sees them, each with its place in the manifest.
pub(super) struct Storage<'m> {
    pub(super) volumes: Vec<(Volume, Origin<'m>)>,
    pub(super) mounts: Vec<(VolumeMount, Origin<'m>)>,
}

impl<'m> Storage<'m> {
    /// The sidecar's and the agent's own first; then those of `k8s-experimental`, as they are; then those of createOptions,
    /// each name once: a writable claim if there is one, else the first. Names are not compared between the three.
    pub(super) fn of(parameters: &Parameters<'m>, settings: &AgentSettings) -> Result<Self, Box<Fault>> {
        let mut given = Self { volumes: Vec::new(), mounts: Vec::new() };
        let extensions = parameters.extensions.as_ref().and_then(|extensions| extensions.volumes.as_ref());
        let places = parameters.module.option(&["k8s-experimental", "volumes"]).into_iter().flat_map(At::items);
        let configs = [&settings.proxy_config, &settings.proxy_trust].into_iter().filter_map(config_map);
        given.volumes.extend(configs.map(|(volume, _)| (volume, Origin::Agent)));
        if is_edge_agent(parameters)
            && let Some((volume, mount)) = config_map(&settings.agent_config)
        {
            given.volumes.push((volume, Origin::Agent));
            given.mounts.push((mount, Origin::Agent));
        }
        for (extension, at) in extensions.into_iter().flatten().zip(places) {
            let volume = at.get_ignoring_case("volume").map_or(Origin::Agent, Origin::Verbatim);
            given.volumes.extend(extension.volume.clone().map(|own| (own, volume)));
            let mounts = at.get_ignoring_case("volumeMounts").into_iter().flat_map(At::items).map(Origin::Verbatim);
            given.mounts.extend(extension.volume_mounts.clone().into_iter().flatten().zip(mounts));
        }
        let mut own = Self { volumes: Vec::new(), mounts: Vec::new() };
        own.binds(parameters, settings)?;
        own.mounts(parameters, settings)?;
        if settings.agent >= Agent::beta(14) {
            own.merge();
        }
        given.volumes.append(&mut own.volumes);
        given.mounts.append(&mut own.mounts);
        Ok(given)
    }

    fn binds(&mut self, parameters: &Parameters<'m>, settings: &AgentSettings) -> Result<(), Box<Fault>> {
        for bind in &parameters.runtime_binds {
            if let Some((source, target)) = bind.split_once(':')
                && let Some(name) = volume_name(source, settings.agent)
            {
                self.host_path(name, source, target, false, Origin::Agent);
            }
        }
        let binds = parameters.host_option("Binds");
        for at in binds.into_iter().flat_map(At::items) {
            if at.kind() == Kind::Null {
                return Err(Box::new(null_element(parameters, at)));
            }
            let parts: Vec<&str> = at.as_text().unwrap_or_default().split(':').collect();
            let [source, target, rest @ ..] = parts.as_slice() else { continue };
            let read_only = rest.first().is_some_and(|modes| modes.contains("ro"));
            let name = volume_name(source, settings.agent).ok_or_else(|| unnamed(parameters, at, source))?;
            self.host_path(name, source, target, read_only, Origin::Bind(at));
        }
        Ok(())
    }

    fn mounts(&mut self, parameters: &Parameters<'m>, settings: &AgentSettings) -> Result<(), Box<Fault>> {
        let agent = settings.agent;
        let mounts: Vec<At<'_>> = parameters.host_option("Mounts").into_iter().flat_map(At::items).collect();
        let text = |at: At<'_>, key: &str| {
            at.get_ignoring_case(key).filter(|at| at.kind() != Kind::Null).and_then(At::as_text).map(str::to_owned)
        };
        let mut complete = Vec::new();
        for at in mounts {
            let (Some(kind), Some(source), Some(target)) = (text(at, "Type"), text(at, "Source"), text(at, "Target"))
            else {
                let kind = if agent >= Agent::beta(14) { FaultKind::InvalidMount } else { FaultKind::NullReference };
                let message = "a mount needs type, source and target";
                return Err(Box::new(Fault::new(parameters.module, Stage::Deployments, kind, at, message)));
            };
            let read_only = at.get_ignoring_case("ReadOnly").and_then(At::as_bool).unwrap_or(false);
            complete.push((at, kind.to_ascii_lowercase(), source, target, read_only));
        }
        for (at, _, source, target, read_only) in complete.iter().filter(|(_, kind, ..)| kind == "bind") {
            let name = volume_name(source, agent).ok_or_else(|| unnamed(parameters, *at, source))?;
            self.host_path(name, source, target, *read_only, Origin::Mount(*at));
        }
        for (at, _, source, target, read_only) in complete.iter().filter(|(_, kind, ..)| kind == "volume") {
            let name = if agent >= Agent::beta(5) {
                volume_name(source, agent)
            } else {
                volume_name(&format!("{}-{source}", parameters.name), agent)
            };
            let name = name.ok_or_else(|| unnamed(parameters, *at, source))?;
            let mut volume = Volume { name: name.clone(), ..Default::default() };
            if agent < Agent::beta(4) && settings.storage_class.as_ref().is_none_or(String::is_empty) {
                volume.empty_dir = Some(k8s_openapi::api::core::v1::EmptyDirVolumeSource::default());
            } else {
                volume.persistent_volume_claim =
                    Some(PersistentVolumeClaimVolumeSource { claim_name: name.clone(), read_only: Some(*read_only) });
            }
            self.volumes.push((volume, Origin::Mount(*at)));
            self.mount(name, target, *read_only, Origin::Mount(*at));
        }
        Ok(())
    }

    fn host_path(&mut self, name: String, source: &str, target: &str, read_only: bool, origin: Origin<'m>) {
        let path = HostPathVolumeSource { path: source.to_owned(), type_: Some(HOST_PATH_TYPE.to_owned()) };
        self.volumes.push((Volume { name: name.clone(), host_path: Some(path), ..Default::default() }, origin));
        self.mount(name, target, read_only, origin);
    }

    fn mount(&mut self, name: String, target: &str, read_only: bool, origin: Origin<'m>) {
        let mount_path = target.to_owned();
        self.mounts.push((VolumeMount { name, mount_path, read_only: Some(read_only), ..Default::default() }, origin));
    }

    fn merge(&mut self) {
        let writable = |volume: &Volume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(false))
        };
        let mut merged: Vec<(Volume, Origin<'m>)> = Vec::new();
        for (volume, origin) in self.volumes.drain(..) {
            match merged.iter_mut().find(|(there, _)| there.name == volume.name) {
                None => merged.push((volume, origin)),
                Some(there) if writable(&volume) && !writable(&there.0) => *there = (volume, origin),
                Some(_) => {}
            }
        }
        self.volumes = merged;
    }
}

/// The name of a volume; before beta13 it had to start with a letter.
fn volume_name(source: &str, agent: Agent) -> Option<String> {
    if agent >= Agent::beta(13) { dns_label(source) } else { dns_value(source) }
}

/// A `null` in a list, over which the agent stumbles.
fn null_element(parameters: &Parameters<'_>, at: At<'_>) -> Fault {
    let message = "is null among the elements of a list";
    Fault::new(parameters.module, Stage::Deployments, FaultKind::NullReference, at, message)
}

fn unnamed(parameters: &Parameters<'_>, at: At<'_>, source: &str) -> Fault {
    let message = format!("no name of a volume can be made of `{source}`");
    Fault::new(parameters.module, Stage::Deployments, FaultKind::InvalidName, at, message)
}
