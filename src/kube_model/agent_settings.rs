//! What the agent's translation depends on besides the deployment: its version and its settings (`k8s-translation.md` §0
//! and §6). Nobody can read them off a device, so the defaults are partly assumed, and say so.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use thiserror::Error;

use super::ServiceKind;
use crate::target::Agent;

/// The agent's settings. Names of the agent's own are those of its environment.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The version.
    pub agent: Agent,
    /// The host name of the IoT hub (`IOTEDGE_IOTHUBHOSTNAME`).
    pub hub: String,
    /// The device (`IOTEDGE_DEVICEID`).
    pub device: String,
    /// `K8sNamespace`.
    pub namespace: String,
    /// What every module is told as `EdgeDeviceHostName`.
    pub host_name: String,
    /// Where modules find edgeHub, and the management API of the agent.
    pub workload_uri: String,
    /// The management API, for the agent alone.
    pub management_uri: String,
    /// `ProxyImage`.
    pub proxy_image: String,
    /// `ProxyImagePullSecretName`.
    pub proxy_pull_secret: Option<String>,
    /// Where the proxy finds its configuration.
    pub proxy_config: ConfigVolume,
    /// Where the proxy finds what it trusts.
    pub proxy_trust: ConfigVolume,
    /// Where the agent finds its own configuration; not mounted unless all three are set.
    pub agent_config: ConfigVolume,
    /// What the proxy gets of the node; none before beta11.
    pub proxy_resources: Option<ResourceRequirements>,
    /// What edgeAgent gets of the node where its createOptions say nothing; none before beta11.
    pub agent_resources: Option<ResourceRequirements>,
    /// `ExperimentalFeatures__EnableK8SExtensions`, and `__Enabled` with it.
    pub extensions: bool,
    /// `RunAsNonRoot`.
    pub run_as_non_root: bool,
    /// `PortMappingServiceType`.
    pub port_mapping: ServiceKind,
    /// `UseMountSourceForVolumeName`.
    pub source_as_volume_name: bool,
    /// `StorageClassName`; empty counts as set.
    pub storage_class: Option<String>,
    /// `PersistentVolumeClaimDefaultSizeInMb`, in MiB; unset is 0.
    pub claim_size: u32,
    /// The object that owns all others: iotedged's Deployment (`EdgeK8sObjectOwner…`).
    pub owner: Owner,
}

/// A config map that is mounted as a volume.
#[derive(Debug, Clone)]
pub struct ConfigVolume {
    /// Where it is mounted.
    pub path: Option<String>,
    /// The volume.
    pub volume: Option<String>,
    /// The config map.
    pub map: Option<String>,
}

/// What an owner reference needs.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Its API version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Owner {
    /// How an object names it.
    pub(super) fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            ..Default::default()
        }
    }
}

/// The settings that can be given one by one, with what is known about their default.
const KEYS: [(&str, &str); 18] = [
    ("DeviceId", "made up"),
    ("EdgeDeviceHostName", "made up"),
    ("EdgeK8sObjectOwnerApiVersion", "chart default"),
    ("EdgeK8sObjectOwnerKind", "chart default"),
    ("EdgeK8sObjectOwnerName", "chart default"),
    // Kubernetes gives each object another one, and takes away what belongs to an object that it does not know.
    ("EdgeK8sObjectOwnerUid", "made up"),
    ("EnableK8SExtensions", "chart default"),
    ("IotHubHostName", "made up"),
    ("K8sNamespace", "documented for the device"),
    ("ManagementUri", "chart default"),
    ("PersistentVolumeClaimDefaultSizeInMb", "assumed"),
    ("PortMappingServiceType", "documented effect on the device"),
    ("ProxyImage", "assumed"),
    ("ProxyImagePullSecretName", "unset"),
    ("RunAsNonRoot", "code default"),
    ("StorageClassName", "assumed"),
    ("UseMountSourceForVolumeName", "assumed"),
    ("WorkloadUri", "chart default"),
];

/// A setting that cannot be taken.
#[derive(Debug, Error)]
pub enum AgentSettingError {
    /// No `=`.
    #[error("cannot take the agent setting `{0}`: expected KEY=VALUE")]
    NoValue(String),
    /// No such setting.
    #[error("there is no agent setting `{0}`; there are {keys}", keys = KEYS.map(|(key, _)| key).join(", "))]
    NoSuchKey(String),
    /// A value that does not fit.
    #[error("cannot set {key} to `{value}`: expected {expected}")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

impl Default for AgentSettings {
    fn default() -> Self {
        let config = |path: &str, volume: &str, map: &str| ConfigVolume {
            path: Some(path.to_owned()),
            volume: Some(volume.to_owned()),
            map: Some(map.to_owned()),
        };
        Self {
            agent: Agent::default(),
            hub: "hub.azure-devices.net".to_owned(),
            device: "device".to_owned(),
            namespace: "iotedge".to_owned(),
            host_name: "device".to_owned(),
            workload_uri: "http://localhost:35001/".to_owned(),
            management_uri: "http://localhost:35000/".to_owned(),
            proxy_image: "mcr.microsoft.com/azureiotedge-proxy:0.1.0-beta13".to_owned(),
            proxy_pull_secret: None,
            proxy_config: config("/etc/iotedge-proxy", "config-volume", "iotedged-proxy-config"),
            proxy_trust: config("/etc/trust-bundle", "trust-bundle-volume", "iotedged-proxy-trust-bundle"),
            agent_config: config("/etc/edgeAgent", "agent-config-volume", "iotedged-agent-config"),
            proxy_resources: Some(same_limits("5m", "25Mi")),
            agent_resources: None,
            extensions: true,
            run_as_non_root: false,
            port_mapping: ServiceKind::LoadBalancer,
            source_as_volume_name: true,
            storage_class: Some(String::new()),
            claim_size: 100,
            owner: Owner {
                api_version: "apps/v1".to_owned(),
                kind: "Deployment".to_owned(),
                name: "iotedged".to_owned(),
                uid: "00000000-0000-0000-0000-000000000000".to_owned(),
            },
        }
    }
}

impl AgentSettings {
    /// The defaults, with the proxy that came out together with this version of the agent.
    pub fn of(agent: Agent) -> Self {
        Self { agent, proxy_image: format!("mcr.microsoft.com/azureiotedge-proxy:0.1.0-{agent}"), ..Self::default() }
    }

    /// Takes one setting as `KEY=VALUE`; keys are found without regard to case.
    ///
    /// # Errors
    /// There is no such key, or the value does not fit.
    pub fn set(&mut self, assignment: &str) -> Result<(), AgentSettingError> {
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| AgentSettingError::NoValue(assignment.to_owned()))?;
        let known = KEYS.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(key.trim()));
        let key = known.ok_or_else(|| AgentSettingError::NoSuchKey(key.to_owned()))?;
        let bad = |expected| AgentSettingError::BadValue { key, value: value.to_owned(), expected };
        let flag = || value.to_ascii_lowercase().parse().map_err(|_| bad("true or false"));
        match key {
            "DeviceId" => value.clone_into(&mut self.device),
            "EdgeDeviceHostName" => value.clone_into(&mut self.host_name),
            "EdgeK8sObjectOwnerApiVersion" => value.clone_into(&mut self.owner.api_version),
            "EdgeK8sObjectOwnerKind" => value.clone_into(&mut self.owner.kind),
            "EdgeK8sObjectOwnerName" => value.clone_into(&mut self.owner.name),
            "EdgeK8sObjectOwnerUid" => value.clone_into(&mut self.owner.uid),
            "EnableK8SExtensions" => self.extensions = flag()?,
            "IotHubHostName" => value.clone_into(&mut self.hub),
            "K8sNamespace" => value.clone_into(&mut self.namespace),
            "ManagementUri" => value.clone_into(&mut self.management_uri),
            "PersistentVolumeClaimDefaultSizeInMb" => {
                self.claim_size = value.parse().map_err(|_| bad("a whole number of MiB"))?;
            }
            "PortMappingServiceType" => {
                self.port_mapping =
                    ServiceKind::parse(value).ok_or_else(|| bad("ClusterIP, LoadBalancer or NodePort"))?;
            }
            "ProxyImage" => value.clone_into(&mut self.proxy_image),
            "ProxyImagePullSecretName" => {
                self.proxy_pull_secret = Some(value.to_owned()).filter(|name| !name.is_empty());
            }
            "RunAsNonRoot" => self.run_as_non_root = flag()?,
            // The chart writes `-` for what is not set.
            "StorageClassName" => self.storage_class = Some(value.to_owned()).filter(|class| class != "-"),
            "UseMountSourceForVolumeName" => self.source_as_volume_name = flag()?,
            _ => value.clone_into(&mut self.workload_uri),
        }
        Ok(())
    }

    /// Every setting with its value, and where that comes from unless `given` names it.
    pub fn described(&self, given: &[String]) -> Vec<(&'static str, String, &'static str)> {
        let is_given = |key: &str| {
            given.iter().any(|one| one.split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(key)))
        };
        let flag = |value: bool| value.to_string();
        let value = |key: &str| match key {
            "DeviceId" => self.device.clone(),
            "EdgeDeviceHostName" => self.host_name.clone(),
            "EdgeK8sObjectOwnerApiVersion" => self.owner.api_version.clone(),
            "EdgeK8sObjectOwnerKind" => self.owner.kind.clone(),
            "EdgeK8sObjectOwnerName" => self.owner.name.clone(),
            "EdgeK8sObjectOwnerUid" => self.owner.uid.clone(),
            "EnableK8SExtensions" => flag(self.extensions),
            "IotHubHostName" => self.hub.clone(),
            "K8sNamespace" => self.namespace.clone(),
            "ManagementUri" => self.management_uri.clone(),
            "PersistentVolumeClaimDefaultSizeInMb" => self.claim_size.to_string(),
            "PortMappingServiceType" => self.port_mapping.word().to_owned(),
            "ProxyImage" => self.proxy_image.clone(),
            "ProxyImagePullSecretName" => self.proxy_pull_secret.clone().unwrap_or_default(),
            "RunAsNonRoot" => flag(self.run_as_non_root),
            "StorageClassName" => self.storage_class.as_ref().map_or("-".to_owned(), |class| format!("\"{class}\"")),
            "UseMountSourceForVolumeName" => flag(self.source_as_volume_name),
            _ => self.workload_uri.clone(),
        };
        KEYS.iter().map(|(key, origin)| (*key, value(key), if is_given(key) { "given" } else { *origin })).collect()
    }
}

/// The same for limits and requests, as the chart sets them.
pub fn same_limits(cpu: &str, memory: &str) -> ResourceRequirements {
    let amounts: BTreeMap<String, Quantity> =
        [("cpu", cpu), ("memory", memory)].map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned()))).into();
    ResourceRequirements { limits: Some(amounts.clone()), requests: Some(amounts), claims: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_and_told() {
        let mut settings = AgentSettings::default();
        for (key, _) in KEYS {
            let value = match key {
                "PersistentVolumeClaimDefaultSizeInMb" => "7",
                "PortMappingServiceType" => "nodeport",
                "RunAsNonRoot" | "UseMountSourceForVolumeName" | "EnableK8SExtensions" => "True",
                _ => "x",
            };
            settings.set(&format!("{}={value}", key.to_lowercase())).unwrap();
        }
        assert_eq!((settings.claim_size, settings.port_mapping), (7, ServiceKind::NodePort));
        let told = settings.described(&["deviceid=x".to_owned()]);
        assert!(told.contains(&("DeviceId", "x".to_owned(), "given")), "{told:?}");
        let owner = &settings.owner;
        assert_eq!([&owner.api_version, &owner.kind, &owner.name, &owner.uid], ["x"; 4]);
        settings.set("StorageClassName=-").unwrap();
        assert_eq!(settings.storage_class, None);
        for bad in ["x", "x=1", "RunAsNonRoot=perhaps", "PortMappingServiceType=ExternalName"] {
            assert!(settings.set(bad).is_err(), "{bad}");
        }
    }
}
