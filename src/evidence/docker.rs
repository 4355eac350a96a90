//! What a Docker engine knows of the modules that IoT Edge runs on it (`iotedge-protocol.md` §C4), reduced to what
//! rules need: no environment values but where proxies are.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::process::is_share;

/// What the names of NVIDIA's runtimes start with: `nvidia`, `nvidia-cdi`.
pub(super) const NVIDIA: &str = "nvidia";

/// File systems of disks and of memory.
const LOCAL: [&str; 8] = ["btrfs", "ext2", "ext3", "ext4", "overlay", "tmpfs", "xfs", "zfs"];

/// A Docker engine, as far as IoT Edge's modules go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// Its version: `20.10.24`.
    pub version: String,
    /// The containers of modules, by module id.
    pub containers: BTreeMap<String, Container>,
    /// Every image that is there, by its tags and digests.
    pub images: BTreeMap<String, ImageId>,
    /// When the containers of modules were removed that are not there any more, by module id, as far as the engine remembers.
    pub removed: BTreeMap<String, Timestamp>,
}

/// `sha256:…` of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub String);

/// The container of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its id, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// How it comes by GPUs.
    #[serde(skip_serializing_if = "GpuOptions::is_none")]
    pub gpus: GpuOptions,
    /// The image by the name that it was made with.
    pub image: String,
    /// The image that it really has.
    pub image_id: ImageId,
    /// What it does.
    pub status: ContainerStatus,
    /// The verdict of its health check, where it has one: `healthy`, `unhealthy`, `starting`.
    pub health: Option<String>,
    /// Exit code of the last run; 0 while none ended.
    pub exit_code: i64,
    /// Whether the last run was ended for want of memory.
    pub out_of_memory: bool,
    /// How often the engine itself started it again. IoT Edge's own starts are in [`History`].
    pub restarts: u64,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
    /// When it ended last.
    pub finished_at: Option<Timestamp>,
    /// What happened to it lately.
    pub history: History,
    /// The limits in force.
    pub limits: Limits,
    /// How busy it keeps the processor; only of those that run and have to do with GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<ProcessorTime>,
    /// What is mounted.
    pub mounts: Vec<Mounted>,
    /// `NetworkMode`: `azure-iot-edge`, `host` …
    pub network: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Ports of the host that lead to it.
    pub ports: Vec<PublishedPort>,
    /// The proxies that its variables name.
    pub proxies: Vec<Proxy>,
    /// The variable `no_proxy`.
    pub no_proxy: Option<String>,
}

/// What decides about the GPUs of a container (`gpu.md` §4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuOptions {
    /// The runtime that starts it: `runc`, `nvidia`.
    pub runtime: String,
    /// `DeviceRequests` for GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<DeviceRequest>,
    /// The devices `/dev/nvidia0` … that were handed in by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// `NVIDIA_VISIBLE_DEVICES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<String>,
    /// Whether that variable is the image's own, which asks for nothing; none where the image could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_by_image: Option<bool>,
    /// Whether it has variables of the Multi-Process Service, `CUDA_MPS_…`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mps: bool,
}

/// A request for GPUs to the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// How many; -1 is all of them.
    pub count: i64,
    /// Those that it names.
    pub devices: Vec<String>,
}

impl GpuOptions {
    /// Whether nothing in them has to do with GPUs, as with most containers.
    pub fn is_none(&self) -> bool {
        let Self { runtime, requests, devices, visible, mps, .. } = self;
        !runtime.starts_with(NVIDIA) && requests.is_empty() && devices.is_empty() && visible.is_none() && !mps
    }
}

/// What a container does, in Docker's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Made, never started.
    Created,
    /// Up.
    Running,
    /// Up, but frozen.
    Paused,
    /// Ended; the engine will start it again after a pause.
    Restarting,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed.
    Dead,
    /// Something that we don't know.
    #[default]
    Unknown,
}

/// What the engine's events of the last minutes say of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// How far back that goes, s.
    pub window_secs: u64,
    /// Starts.
    pub starts: u32,
    /// Ends that nobody asked for.
    pub deaths: u32,
    /// Ends that somebody asked for: a signal was sent first.
    pub stops: u32,
    /// Ends for want of memory.
    pub out_of_memory: u32,
    /// The exit code of the last end that nobody asked for.
    pub last_death: Option<i64>,
}

/// Limits in force, none where there is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory, bytes.
    pub memory: Option<i64>,
    /// Processor time, billionths of a processor.
    pub nano_cpus: Option<i64>,
}

/// Processor time that a container used in the last half hour, or since it was started where that is later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessorTime {
    /// Time of all processors together, ms.
    pub used_ms: u64,
    /// In how much time, ms.
    pub of_ms: u64,
}

impl ProcessorTime {
    /// How many processors it kept busy on average; none where no time has passed.
    pub fn processors(self) -> Option<f64> {
        let seconds = |ms| Duration::from_millis(ms).as_secs_f64();
        (self.of_ms > 0).then(|| seconds(self.used_ms) / seconds(self.of_ms))
    }
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounted {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether it is a file, no directory; none where that could not be told.
    pub is_file: Option<bool>,
    /// Whether it is a directory of the host with nothing in it; none where that was not seen.
    #[serde(default)]
    pub is_empty: Option<bool>,
    /// The file system: as the kernel shows it in the mount table of the container, where its process can be seen; else what
    /// the options of a volume name. A share is `nfs`, `nfs4` or `cifs`.
    #[serde(default)]
    pub file_system: Option<String>,
    /// The driver of a volume, where it is not Docker's own `local`: what stands behind such a volume, the driver alone knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// A port of a container that is published on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port in the container.
    pub container: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The port on the host.
    pub host: u16,
    /// Whether the container's port takes connections; none where that could not be tried.
    pub answers: Option<bool>,
}

/// A proxy that a variable names, without user and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The variable.
    pub variable: String,
    /// `host:port`.
    pub address: String,
    /// What came of trying it; none where it cannot be tried from here.
    pub answer: Option<ProxyAnswer>,
}

/// What a proxy does when it is asked to connect to IoT Hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProxyAnswer {
    /// It connects.
    Connects,
    /// It takes connections; there was no host to ask it for.
    Listens,
    /// It says no, with this HTTP status.
    Refuses(u16),
    /// It cannot be reached, or says something else than HTTP.
    Fails(String),
}

impl ContainerStatus {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            ContainerStatus::Created => "created",
            ContainerStatus::Running => "running",
            ContainerStatus::Paused => "paused",
            ContainerStatus::Restarting => "restarting",
            ContainerStatus::Exited => "exited",
            ContainerStatus::Removing => "removing",
            ContainerStatus::Dead => "dead",
            ContainerStatus::Unknown => "unknown",
        }
    }
}

impl Engine {
    /// The image that `name` stands for on this engine, found as Docker does: `docker.io/library/` and `:latest` may be left out.
    pub fn image(&self, name: &str) -> Option<&ImageId> {
        let name = name.strip_prefix("docker.io/").unwrap_or(name);
        let name = name.strip_prefix("library/").unwrap_or(name);
        let file = name.rsplit('/').next().unwrap_or(name);
        if file.contains([':', '@']) { self.images.get(name) } else { self.images.get(&format!("{name}:latest")) }
    }
}

impl Container {
    /// Whether it ended lately, or again and again, without anybody asking it to.
    pub fn is_crashing(&self) -> bool {
        self.is_looping() || (self.has_ended() && self.exit_code != 0 && self.history.stops == 0)
    }

    /// Whether it is started again and again and does not stay up.
    pub fn is_looping(&self) -> bool {
        self.status == ContainerStatus::Restarting
            || self.history.deaths >= 2
            || (self.restarts >= 2 && self.exit_code != 0)
    }

    /// Whether its last run ended, or one of the last minutes, for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.out_of_memory || self.history.out_of_memory > 0
    }

    /// Since when it does what it does.
    pub fn since(&self) -> Option<Timestamp> {
        if self.is_running() { self.started_at } else { self.finished_at }
    }

    /// Whether it is up.
    pub fn is_running(&self) -> bool {
        self.status == ContainerStatus::Running
    }

    /// Whether it ran and does not any more.
    pub fn has_ended(&self) -> bool {
        matches!(self.status, ContainerStatus::Exited | ContainerStatus::Dead)
    }
}

impl Mounted {
    /// Whether a share of the network is mounted; none where its file system is not known, or may be either (`fuse`, `autofs`).
    pub fn is_share(&self) -> Option<bool> {
        let system = self.file_system.as_deref()?;
        if is_share(system) { Some(true) } else { LOCAL.contains(&system).then_some(false) }
    }
}

impl ProxyAnswer {
    /// What the head of an answer to CONNECT says, as far as it was read; none while more of it has to be. A line that is no
    /// consent is enough; of a consent all of the head belongs to the proxy. Where `is_all`, nothing more comes.
    pub fn of_head(head: &[u8], is_all: bool) -> Option<Self> {
        let is_whole =
            || [&b"\n\n"[..], b"\r\n\r\n"].iter().any(|end| head.windows(end.len()).any(|part| part == *end));
        match status(head) {
            _ if !is_all && !head.contains(&b'\n') => None,
            Some(200..=299) => (is_all || is_whole()).then_some(ProxyAnswer::Connects),
            Some(status) => Some(ProxyAnswer::Refuses(status)),
            None => Some(ProxyAnswer::Fails("it does not speak HTTP".to_owned())),
        }
    }
}

/// The number in `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok().filter(|status| (100..1000).contains(status))
}

impl std::fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}/{}", self.host, self.container, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_proxys_answer_is_judged_as_soon_as_it_can_be() {
        let refuses = |status| Some(ProxyAnswer::Refuses(status));
        let fails = || Some(ProxyAnswer::Fails("it does not speak HTTP".to_owned()));
        let connects = || Some(ProxyAnswer::Connects);
        for (head, meanwhile, at_last) in [
            ("", None, fails()),
            ("HTTP/1.1 40", None, fails()),
            ("HTTP/1.1 407 Who", None, refuses(407)),
            ("HTTP/1.0 403\r\n", refuses(403), refuses(403)),
            ("HTTP/1.1 200 OK\r\nVia: a\r\n", None, connects()),
            ("HTTP/1.1 200 OK\r\nVia: a\r\n\r\n", connects(), connects()),
            ("HTTP/1.1 200\n\n", connects(), connects()),
            ("HTTP/2 200\r\n\r\n", fails(), fails()),
            ("SSH-2.0-x\r\n", fails(), fails()),
        ] {
            assert_eq!(ProxyAnswer::of_head(head.as_bytes(), false), meanwhile, "{head:?}");
            assert_eq!(ProxyAnswer::of_head(head.as_bytes(), true), at_last, "{head:?}");
        }
    }
}
