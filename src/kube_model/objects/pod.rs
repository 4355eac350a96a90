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

/// How many variables every module gets from the runtime, and a few more.
const OF_RUNTIME: usize = 10;

/// The container that carries the workload API to the module.
pub(super) const PROXY: &str = "proxy";

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
    let proxy_mounts = proxy_mounts.into_iter().filter_map(|(config, read_only)| config_mount(config, read_only));
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
        containers: vec![proxy(proxy_mounts.collect(), settings), container(parameters, storage.mounts, settings)],
        dns_policy: (host_network == Some(true)).then(|| "ClusterFirstWithHostNet".to_owned()),
        host_ipc: host_mode("IpcMode", 10),
        host_network,
        host_pid: host_mode("PidMode", 14),
        image_pull_secrets: Some(secrets).filter(|secrets| !secrets.is_empty()),
        node_selector: extensions.and_then(|extensions| extensions.node_selector.clone()),
        security_context: context.or_else(|| settings.run_as_non_root.then(default_context)),
        service_account_name: Some(parameters.name.clone()),
        volumes: Some(storage.volumes),
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
    let given = given_variables(module, agent);
    let mut env: Vec<EnvVar> = Vec::with_capacity(given.size_hint().1.unwrap_or(0) + OF_RUNTIME);
    env.extend(given.map(|given| variable(given.name, given.value)));
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

/// The volume of a config map; none unless all of it is set.
fn config_volume(config: &ConfigVolume) -> Option<Volume> {
    config.path.as_ref()?;
    let source = ConfigMapVolumeSource { name: config.map.clone()?, ..Default::default() };
    Some(Volume { name: config.volume.clone()?, config_map: Some(source), ..Default::default() })
}

/// Where a container sees it.
fn config_mount(config: &ConfigVolume, read_only: Option<bool>) -> Option<VolumeMount> {
    config.map.as_ref()?;
    let (name, mount_path) = (config.volume.clone()?, config.path.clone()?);
    Some(VolumeMount { name, mount_path, read_only, ..Default::default() })
}

/// The volumes of a module, and where its container sees them, both with their places in the manifest.
pub(super) struct Storage<'m> {
    pub(super) volumes: Vec<Volume>,
    pub(super) volume_origins: Vec<Origin<'m>>,
    pub(super) mounts: Vec<VolumeMount>,
    pub(super) mount_origins: Vec<Origin<'m>>,
}

impl<'m> Storage<'m> {
    /// The sidecar's and the agent's own first; then those of `k8s-experimental`, as they are; then those of createOptions,
    /// each name once: a writable claim if there is one, else the first. Names are not compared between the three.
    pub(super) fn of(parameters: &Parameters<'m>, settings: &AgentSettings) -> Result<Self, Box<Fault>> {
        let extensions = parameters.extensions.as_ref().and_then(|extensions| extensions.volumes.as_ref());
        let places = parameters.module.option(&["k8s-experimental", "volumes"]).into_iter().flat_map(At::items);
        let of_agent = Some(&settings.agent_config).filter(|_| is_edge_agent(parameters));
        let configs: Vec<&ConfigVolume> =
            [&settings.proxy_config, &settings.proxy_trust].into_iter().chain(of_agent).collect();
        let own = ["Binds", "Mounts"].into_iter().filter_map(|key| parameters.host_option(key));
        let own: usize = own.map(|list| list.items().len()).sum();
        // A volume of Kubernetes' own type has 3 KB.
        let count = configs.len() + extensions.map_or(0, Vec::len) + own;
        let mut all = Self {
            volumes: Vec::with_capacity(count),
            volume_origins: Vec::with_capacity(count),
            mounts: Vec::with_capacity(own),
            mount_origins: Vec::with_capacity(own),
        };
        configs.into_iter().filter_map(config_volume).for_each(|volume| all.volume(volume, Origin::Agent));
        if let Some(mount) = of_agent.and_then(|config| config_mount(config, Some(true))) {
            all.mount(mount, Origin::Agent);
        }
        for (extension, at) in extensions.into_iter().flatten().zip(places) {
            if let Some(volume) = &extension.volume {
                all.volume(volume.clone(), at.get_ignoring_case("volume").map_or(Origin::Agent, Origin::Verbatim));
            }
            let places = at.get_ignoring_case("volumeMounts").into_iter().flat_map(At::items);
            for (mount, at) in extension.volume_mounts.iter().flatten().zip(places) {
                all.mount(mount.clone(), Origin::Verbatim(at));
            }
        }
        let first = all.volumes.len();
        all.binds(parameters, settings)?;
        all.mounts(parameters, settings)?;
        if settings.agent >= Agent::beta(14) {
            all.merge(first);
        }
        Ok(all)
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
            self.volume(volume, Origin::Mount(*at));
            self.mount(mount(name, target, *read_only), Origin::Mount(*at));
        }
        Ok(())
    }

    fn host_path(&mut self, name: String, source: &str, target: &str, read_only: bool, origin: Origin<'m>) {
        let path = HostPathVolumeSource { path: source.to_owned(), type_: Some(HOST_PATH_TYPE.to_owned()) };
        self.volume(Volume { name: name.clone(), host_path: Some(path), ..Default::default() }, origin);
        self.mount(mount(name, target, read_only), origin);
    }

    fn volume(&mut self, volume: Volume, origin: Origin<'m>) {
        self.volumes.push(volume);
        self.volume_origins.push(origin);
    }

    fn mount(&mut self, mount: VolumeMount, origin: Origin<'m>) {
        self.mounts.push(mount);
        self.mount_origins.push(origin);
    }

    /// Leaves one volume of each name, of those from `first` on.
    fn merge(&mut self, first: usize) {
        let writable = |volume: &Volume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(false))
        };
        let volumes = self.volumes.split_off(first);
        let origins = self.volume_origins.split_off(first);
        for (volume, origin) in volumes.into_iter().zip(origins) {
            match (first..self.volumes.len()).find(|there| self.volumes[*there].name == volume.name) {
                None => self.volume(volume, origin),
                Some(there) if writable(&volume) && !writable(&self.volumes[there]) => {
                    (self.volumes[there], self.volume_origins[there]) = (volume, origin);
                }
                Some(_) => {}
            }
        }
    }
}

fn mount(name: String, target: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name, mount_path: target.to_owned(), read_only: Some(read_only), ..Default::default() }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// The specification of the Deployment that comes of `options`.
    fn made(options: &Value, settings: &AgentSettings) -> Value {
        let manifest = Manifest::read(&Source::new("t", options.to_string())).unwrap();
        let parameters = Parameters::read(manifest.modules().next().unwrap(), settings).unwrap();
        serde_json::to_value(deployment(&parameters, &Labels::new(), settings).unwrap()).unwrap()["spec"].take()
    }

    /// The pod with this `k8s-experimental`.
    fn extended(section: &Value) -> Value {
        let options = json!({ "HostConfig": {}, "k8s-experimental": section });
        made(&options, &AgentSettings::default())["template"]["spec"].take()
    }

    fn names(list: &Value) -> Vec<&str> {
        list.as_array().into_iter().flatten().map(|one| one["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn extensions_go_into_the_pod_as_they_are() {
        let section = json!({
            "NODESELECTOR": { "accelerator": "t4" },
            "resources": { "limits": { "nvidia.com/gpu": 1 }, "requests": { "cpu": "250m" } },
            "securityContext": { "runAsUser": "0", "fsGroup": 5 },
            "strategy": { "type": "Recreate" },
        });
        let settings = AgentSettings { run_as_non_root: true, ..AgentSettings::default() };
        let made = made(&json!({ "HostConfig": {}, "k8s-experimental": section }), &settings);
        let pod = &made["template"]["spec"];
        assert_eq!(pod["nodeSelector"], json!({ "accelerator": "t4" }));
        let resources = json!({ "limits": { "nvidia.com/gpu": "1" }, "requests": { "cpu": "250m" } });
        assert_eq!(pod["containers"][1]["resources"], resources);
        // Nothing is left of the default, which says `runAsNonRoot`.
        assert_eq!(pod["securityContext"], json!({ "runAsUser": 0, "fsGroup": 5 }));
        assert_eq!(made["strategy"], json!({ "type": "Recreate" }));
    }

    #[test]
    fn null_is_absent_and_what_is_unknown_changes_nothing() {
        let plain = extended(&json!({}));
        let section = json!({ "nodeSelector": null, "volumes": null, "tolerations": [{ "operator": "Exists" }],
            "affinity": {}, "annotations": { "a": "b" }, "initContainers": [{ "name": "x" }], "cmd": ["x"] });
        assert_eq!(extended(&section), plain);
        assert_eq!(extended(&json!("text")), plain);
        assert_eq!(extended(&json!({ "securityContext": {} }))["securityContext"], json!({}));
        let off = AgentSettings { extensions: false, ..AgentSettings::default() };
        let options = json!({ "HostConfig": {}, "k8s-experimental": { "nodeSelector": { "a": "b" } } });
        assert_eq!(made(&options, &off)["template"]["spec"], plain);
        // Its own name is matched exactly.
        let options = json!({ "HostConfig": {}, "K8s-Experimental": { "nodeSelector": { "a": "b" } } });
        assert_eq!(made(&options, &AgentSettings::default())["template"]["spec"], plain);
    }

    #[test]
    fn each_extension_came_with_a_version() {
        let section = json!({ "nodeSelector": { "a": "b" }, "securityContext": { "runAsUser": 5 }, "strategy": { "type": "Recreate" } });
        let options = json!({ "HostConfig": {}, "k8s-experimental": section });
        let known = |beta: u8| {
            let made = made(&options, &AgentSettings::of(Agent::beta(beta)));
            let pod = &made["template"]["spec"];
            [!pod["nodeSelector"].is_null(), !pod["securityContext"].is_null(), !made["strategy"].is_null()]
        };
        assert_eq!(known(4), [true, false, false]);
        assert_eq!(known(7), [true, true, false]);
        assert_eq!(known(8), [true, true, true]);
    }

    #[test]
    fn volumes_of_extensions_come_first_and_are_not_merged_with_those_of_options() {
        let options = json!({
            "HostConfig": {
                "Binds": ["/a/b:/one", "/ab:/two:ro"],
                "Mounts": [
                    { "Type": "volume", "Source": "share", "Target": "/three", "ReadOnly": true },
                    { "Type": "volume", "Source": "Share", "Target": "/four" },
                ],
            },
            "k8s-experimental": { "volumes": [
                { "volume": { "name": "ab", "emptyDir": {} }, "volumeMounts": [{ "name": "ab", "mountPath": "/zero", "subPath": "x" }] },
                { "volumeMounts": [{ "name": "share", "mountPath": "/five" }] },
                { "volume": { "name": "alone", "emptyDir": { "medium": "Memory" } } },
            ] },
        });
        let pod = made(&options, &AgentSettings::of(Agent::beta(14)))["template"]["spec"].take();
        let volumes = &pod["volumes"];
        assert_eq!(names(volumes), ["config-volume", "trust-bundle-volume", "ab", "alone", "ab", "share"]);
        assert_eq!(volumes[3]["emptyDir"], json!({ "medium": "Memory" }));
        // Two paths of the host share the first one; of two claims the writable one stays.
        assert_eq!(volumes[4]["hostPath"], json!({ "path": "/a/b", "type": "DirectoryOrCreate" }));
        assert_eq!(volumes[5]["persistentVolumeClaim"], json!({ "claimName": "share", "readOnly": false }));
        let mounts = pod["containers"][1]["volumeMounts"].as_array().unwrap();
        let mounts: Vec<_> =
            mounts.iter().map(|mount| (mount["mountPath"].as_str().unwrap(), &mount["readOnly"])).collect();
        let (yes, no) = (json!(true), json!(false));
        let expected = [
            ("/zero", &Value::Null),
            ("/five", &Value::Null),
            ("/one", &no),
            ("/two", &yes),
            ("/three", &yes),
            ("/four", &no),
        ];
        assert_eq!(mounts, expected);
    }

    #[test]
    fn before_beta14_volumes_with_one_name_stay_two() {
        let options = json!({ "HostConfig": { "Binds": ["/a/b:/one", "/ab:/two"] } });
        let pod = made(&options, &AgentSettings::of(Agent::beta(13)))["template"]["spec"].take();
        assert_eq!(names(&pod["volumes"]), ["config-volume", "trust-bundle-volume", "ab", "ab"]);
    }
}
