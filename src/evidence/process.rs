//! What the process that looks knows of itself.

use serde::{Deserialize, Serialize};

use super::{Limits, Proxy};

/// The process that looked, which is a module where IoT Edge started it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its module id, where it is a module.
    pub module: Option<String>,
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
}
