//! What the process that looks knows of itself.

use serde::{Deserialize, Serialize};

use super::{Limits, Observed, Proxy};

/// The process that looked, which is a module where IoT Edge started it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its module id, where it is a module.
    pub module: Option<String>,
    /// The id of its device, where it is a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The version of the control groups that limit it, 1 or 2; none where there are none.
    pub cgroup: Option<u8>,
    /// The limits in force.
    pub limits: Limits,
    /// Directories and files of the host, and volumes, that are mounted into it.
    pub mounts: Vec<Volume>,
    /// The proxies that its variables name.
    pub proxies: Vec<Proxy>,
    /// The variable `no_proxy`.
    pub no_proxy: Option<String>,
    /// `NVIDIA_VISIBLE_DEVICES`: which GPUs it was given to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_devices: Option<String>,
    /// Which of the host's namespaces it shares.
    pub namespaces: Namespaces,
}

/// One mount of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is mounted.
    pub target: String,
    /// The file system: `ext4`, `nfs4`, `cifs`. A share that is really there is one of the latter two.
    pub file_system: String,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whether it is a directory with nothing in it; none where that could not be seen.
    #[serde(default)]
    pub is_empty: Option<bool>,
    /// The space of its file system; unknown where it does not answer.
    #[serde(default = "unmeasured")]
    pub space: Observed<Space>,
}

/// The space of a file system, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// In all.
    pub size: u64,
    /// What somebody without rights may still write.
    pub free: u64,
}

/// Whether the host's namespaces are shared, as far as that shows without rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Processes.
    pub pid: Option<bool>,
    /// The network.
    pub net: Option<bool>,
    /// Shared memory and semaphores.
    pub ipc: Option<bool>,
    /// The host name.
    pub uts: Option<bool>,
}

impl Volume {
    /// Whether a share of the network is mounted.
    pub fn is_share(&self) -> bool {
        is_share(&self.file_system)
    }
}

/// Whether a file system of this name is a share of the network: `nfs4`, `cifs`.
pub(super) fn is_share(file_system: &str) -> bool {
    ["nfs", "cifs", "smb"].iter().any(|network| file_system.starts_with(network))
}

fn unmeasured() -> Observed<Space> {
    Observed::not_given("the space of its file system")
}
