//! What the engine's answers say, without asking it: its interface's types (Docker Engine API 1.41) to ours.

use std::collections::{BTreeMap, HashMap, HashSet};

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EventMessage, HostConfig, ImageSummary, MountPoint, Volume,
};
use jiff::Timestamp;
use serde::Deserialize;

use super::{VISIBLE_DEVICES, WINDOW};
use crate::evidence::{
    Container, ContainerStatus, DeviceRequest, Engine, GpuOptions, History, ImageId, Limits, Mounted, PublishedPort,
};

/// The driver of volumes that is Docker's own.
const LOCAL: &str = "local";

/// All answers of one look, as the engine writes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct EngineAnswers {
    /// `Version` of `GET /version`.
    pub(super) version: String,
    /// Every `GET /containers/ID/json`.
    pub(super) containers: Vec<ContainerInspectResponse>,
    /// `GET /images/json`.
    pub(super) images: Vec<ImageSummary>,
    /// `Volumes` of `GET /volumes`.
    pub(super) volumes: Vec<Volume>,
    /// `GET /events`, up to now.
    pub(super) events: Vec<EventMessage>,
}

impl EngineAnswers {
    /// What they say. What only a further look can tell, such as whether a port answers, is left open.
    pub fn read(&self) -> Engine {
        let (mut past, volumes) = (Past::of(&self.events), Volumes::of(&self.volumes));
        let containers = self.containers.iter().map(|found| {
            let history = past.histories.remove(found.id.as_deref().unwrap_or_default()).unwrap_or_default();
            container(found, history, &volumes)
        });
        let containers: BTreeMap<String, Container> = containers.collect();
        past.removed.retain(|name, _| !containers.contains_key(name));
        let (version, images) = (self.version.clone(), images(&self.images));
        Engine { version, containers, images, removed: past.removed }
    }
}

/// The images by their names.
pub(super) fn images(images: &[ImageSummary]) -> BTreeMap<String, ImageId> {
    let names = images.iter().flat_map(|image| {
        let names = image.repo_tags.iter().chain(&image.repo_digests);
        names.map(|name| (name.clone(), ImageId(image.id.clone())))
    });
    names.filter(|(name, _)| !name.starts_with("<none>")).collect()
}

/// What happened to containers, from the engine's events.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// By container id.
    pub(super) histories: HashMap<String, History>,
    /// Containers that were sent a signal and have not ended since.
    asked: HashSet<String>,
    /// By module id.
    pub(super) removed: BTreeMap<String, Timestamp>,
}

impl Past {
    fn of(events: &[EventMessage]) -> Self {
        let mut past = Self::default();
        for event in events {
            past.add(event);
        }
        past
    }

    pub(super) fn add(&mut self, event: &EventMessage) {
        let Some(actor) = &event.actor else { return };
        let id = actor.id.clone().unwrap_or_default();
        let attribute = |name: &str| actor.attributes.as_ref().and_then(|attributes| attributes.get(name));
        let history = self.histories.entry(id.clone()).or_default();
        history.window_secs = WINDOW.as_secs();
        match event.action.as_deref().unwrap_or_default() {
            "start" => {
                history.starts += 1;
                self.asked.remove(&id);
            }
            "kill" => {
                self.asked.insert(id);
            }
            "oom" => history.out_of_memory += 1,
            "die" if self.asked.remove(&id) => history.stops += 1,
            "die" => {
                history.deaths += 1;
                history.last_death = attribute("exitCode").and_then(|code| code.parse().ok());
            }
            "destroy" => {
                let at = event.time.and_then(|secs| Timestamp::from_second(secs).ok());
                if let (Some(name), Some(at)) = (attribute("name"), at) {
                    self.removed.insert(name.clone(), at);
                }
            }
            _ => {}
        }
    }
}

/// The file systems that the options of volumes name, by volume. The other options may hold passwords.
#[derive(Debug, Default)]
pub(super) struct Volumes(HashMap<String, String>);

impl Volumes {
    pub(super) fn of(volumes: &[Volume]) -> Self {
        let named = |volume: &Volume| Some((volume.name.clone(), volume.options.get("type")?.clone()));
        Self(volumes.iter().filter_map(named).collect())
    }
}

/// The value of a variable, in whatever case it is written.
pub(super) fn variable<'v>(variables: &[(&'v str, &'v str)], name: &str) -> Option<&'v str> {
    variables.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// The variables of a container.
pub(super) fn variables(found: &ContainerInspectResponse) -> Vec<(&str, &str)> {
    let env = found.config.iter().flat_map(|config| config.env.iter().flatten());
    env.filter_map(|variable| variable.split_once('=')).collect()
}

/// A container and the id of its module, which is its name.
pub(super) fn container(found: &ContainerInspectResponse, history: History, volumes: &Volumes) -> (String, Container) {
    let (state, host) = (found.state.clone().unwrap_or_default(), found.host_config.clone().unwrap_or_default());
    let networks = found.network_settings.clone().unwrap_or_default();
    let name = found.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned();
    let mut addresses: Vec<String> =
        networks.networks.into_iter().flatten().filter_map(|(_, at)| at.ip_address).collect();
    addresses.retain(|address| !address.is_empty());
    addresses.sort();
    let published = networks.ports.into_iter().flatten().flat_map(|(port, bindings)| {
        let bindings = bindings.unwrap_or_default().into_iter();
        bindings.filter_map(move |binding| published(&port, binding.host_port.as_deref()))
    });
    let mut ports: Vec<PublishedPort> = published.collect();
    ports.sort_by(|a, b| (a.host, a.container, &a.protocol).cmp(&(b.host, b.container, &b.protocol)));
    // One line for each port, though it is bound for both versions of IP.
    ports.dedup();
    let mut mounts: Vec<Mounted> = found.mounts.iter().flatten().map(|mount| mounted(mount, volumes)).collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    let moment = |text: Option<String>| {
        let moment: Option<Timestamp> = text.and_then(|text| text.parse().ok());
        // Docker's "never" is in the year 1.
        moment.filter(|moment| *moment > Timestamp::UNIX_EPOCH)
    };
    let variables = variables(found);
    let container = Container {
        gpus: gpu_options(&host, &variables),
        processor: None,
        id: found.id.clone().unwrap_or_default(),
        image: found.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
        image_id: ImageId(found.image.clone().unwrap_or_default()),
        status: status(state.status),
        health: state.health.and_then(|health| health.status).map(|status| status.to_string()).filter(|s| s != "none"),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or(false),
        restarts: found.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        started_at: moment(state.started_at),
        finished_at: moment(state.finished_at),
        history,
        limits: Limits {
            memory: host.memory.filter(|memory| *memory > 0),
            nano_cpus: host.nano_cpus.filter(|cpus| *cpus > 0),
        },
        mounts,
        network: host.network_mode.unwrap_or_default(),
        addresses,
        ports,
        proxies: Vec::new(),
        no_proxy: variable(&variables, "no_proxy").map(str::to_owned),
    };
    (name, container)
}

/// What decides about the GPUs of a container; whose its variable is, its image says.
fn gpu_options(host: &HostConfig, variables: &[(&str, &str)]) -> GpuOptions {
    let requests = host.device_requests.iter().flatten().filter(|request| {
        let capabilities = request.capabilities.iter().flatten().flatten();
        let ids = request.device_ids.iter().flatten();
        request.driver.as_deref() == Some("nvidia")
            || capabilities.into_iter().any(|name| name == "gpu")
            || ids.into_iter().any(|id| id.starts_with("nvidia.com/"))
    });
    let requests = requests.map(|request| DeviceRequest {
        count: request.count.unwrap_or_default(),
        devices: request.device_ids.clone().unwrap_or_default(),
    });
    let devices = host.devices.iter().flatten().filter_map(|device| device.path_on_host.clone());
    GpuOptions {
        runtime: host.runtime.clone().unwrap_or_default(),
        requests: requests.collect(),
        devices: devices.filter(|path| path.starts_with("/dev/nvidia")).collect(),
        visible: variables.iter().find(|(name, _)| *name == VISIBLE_DEVICES).map(|(_, value)| (*value).to_owned()),
        visible_by_image: None,
        mps: variables.iter().any(|(name, _)| name.starts_with("CUDA_MPS_")),
    }
}

fn status(status: Option<ContainerStateStatusEnum>) -> ContainerStatus {
    match status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerStatus::Created,
        Some(ContainerStateStatusEnum::RUNNING) => ContainerStatus::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerStatus::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerStatus::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => ContainerStatus::Exited,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerStatus::Removing,
        Some(ContainerStateStatusEnum::DEAD) => ContainerStatus::Dead,
        _ => ContainerStatus::Unknown,
    }
}

/// `80/tcp` and the port of the host.
fn published(port: &str, host: Option<&str>) -> Option<PublishedPort> {
    let (container, protocol) = port.split_once('/')?;
    Some(PublishedPort {
        container: container.parse().ok()?,
        protocol: protocol.to_owned(),
        host: host?.parse().ok()?,
        answers: None,
    })
}

fn mounted(mount: &MountPoint, volumes: &Volumes) -> Mounted {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Mounted {
        kind: text(&mount.typ),
        source: text(&mount.source),
        target: text(&mount.destination),
        read_only: !mount.rw.unwrap_or(true),
        is_file: None,
        is_empty: None,
        file_system: mount.name.as_ref().and_then(|name| volumes.0.get(name)).cloned(),
        driver: mount.driver.clone().filter(|driver| !driver.is_empty() && driver != LOCAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_become_an_engine() {
        let id = "c".repeat(64);
        let answers = json!({
            "version": "20.10.24",
            "containers": [{ "Id": id, "Name": "/scorer", "Config": { "Env": ["A", "NO_PROXY=a,b"] },
                "HostConfig": { "Memory": 0, "NanoCpus": 5 },
                "NetworkSettings": { "Ports": { "80/tcp": [{ "HostPort": "8080" }, { "HostPort": "8080" }], "x": null, "1/udp": [] } },
                "Mounts": [
                    { "Type": "volume", "Name": "frames", "Driver": "local", "Destination": "/b" },
                    { "Type": "volume", "Name": "other", "Driver": "netshare", "Destination": "/a", "RW": false }] }],
            "volumes": [{ "Name": "frames", "Driver": "local", "Mountpoint": "/x", "Labels": {}, "Scope": "local",
                "Options": { "type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/frames" } }],
            "events": [
                { "Action": "die", "Actor": { "ID": id, "Attributes": { "exitCode": "3" } } },
                { "Action": "destroy", "time": 1_767_225_600, "Actor": { "ID": "o", "Attributes": { "name": "old" } } }],
        });
        let engine = serde_json::from_value::<EngineAnswers>(answers).unwrap().read();
        let scorer = &engine.containers["scorer"];
        assert_eq!((scorer.no_proxy.as_deref(), scorer.ports.len()), (Some("a,b"), 1));
        assert_eq!(scorer.limits, Limits { memory: None, nano_cpus: Some(5) });
        assert_eq!((scorer.history.deaths, scorer.history.last_death), (1, Some(3)));
        let mounts: Vec<_> = scorer
            .mounts
            .iter()
            .map(|mount| (mount.target.as_str(), mount.is_share(), mount.driver.as_deref()))
            .collect();
        assert_eq!(mounts, [("/a", None, Some("netshare")), ("/b", Some(true), None)]);
        assert!(scorer.mounts[0].read_only && engine.removed.contains_key("old"));
    }
}
