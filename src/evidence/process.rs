//! What the process that looks knows of itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Limits, Observed, Proxy};

/// Mount points that every container has.
const USUAL: [&str; 4] = ["/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
/// Where the kernel shows itself.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Version 1 of control groups says "no limit" with the largest number of pages; no device has that much memory, bytes.
const UNLIMITED: i64 = 1 << 60;

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
    /// Reads a line of `/proc/PID/mountinfo` (Linux, `proc_pid_mountinfo(5)`), if it is a mount that somebody asked for:
    /// `… ROOT TARGET OPTIONS … - TYPE SOURCE …`.
    pub fn of_mount(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = left.split(' ').skip(4);
        let (target, options) = (plain(fields.next()?), fields.next()?);
        let is_kernels = KERNEL.iter().any(|above| Path::new(&target).starts_with(above));
        if USUAL.contains(&target.as_str()) || is_kernels {
            return None;
        }
        Some(Self {
            target,
            file_system: right.split(' ').next()?.to_owned(),
            read_only: options.split(',').any(|option| option == "ro"),
            is_empty: None,
            space: unmeasured(),
        })
    }

    /// Whether a share of the network is mounted.
    pub fn is_share(&self) -> bool {
        is_share(&self.file_system)
    }
}

/// Whether a file system of this name is a share of the network: `nfs4`, `cifs`.
pub(super) fn is_share(file_system: &str) -> bool {
    ["nfs", "cifs", "smb"].iter().any(|network| file_system.starts_with(network))
}

impl Limits {
    /// What version 1 of control groups says in `memory.limit_in_bytes`, `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    pub fn of_version_1(memory: &str, quota: &str, period: &str) -> Self {
        let memory = number(memory).filter(|memory| *memory < UNLIMITED);
        Self { memory, nano_cpus: cpus(number(quota), number(period)) }
    }

    /// What version 2 says in `memory.max` and `cpu.max`.
    pub fn of_version_2(memory: &str, cpu: &str) -> Self {
        let mut words = cpu.split_ascii_whitespace().map(number);
        let (quota, period) = (words.next().flatten(), words.next().flatten());
        Self { memory: number(memory), nano_cpus: cpus(quota, period) }
    }
}

/// A number of the kernel's; `max`, -1 and the like are none.
fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

/// Billionths of a processor.
fn cpus(quota: Option<i64>, period: Option<i64>) -> Option<i64> {
    quota?.checked_mul(1_000_000_000)?.checked_div(period?)
}

/// The kernel writes space, tab, line end and backslash as a backslash and three octal digits.
fn plain(path: &str) -> String {
    let mut parts = path.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(byte.into());
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

fn unmeasured() -> Observed<Space> {
    Observed::not_given("the space of its file system")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_the_kernel_writes_them() {
        let target = |target: &str| {
            Volume::of_mount(&format!("3 1 0:9 /x {target} rw shared:1 - nfs4 s:/x rw")).map(|read| read.target)
        };
        for (written, meant) in [
            ("/in", "/in"),
            ("/a\\040b", "/a b"),
            ("/a\\134040", "/a\\040"),
            ("/ä\\9ü", "/ä\\9ü"),
            ("/device", "/device"),
        ] {
            assert_eq!(target(written).as_deref(), Some(meant));
        }
        for usual in ["/", "/etc/hosts", "/proc", "/sys/fs/cgroup", "/dev/shm"] {
            assert_eq!(target(usual), None, "{usual}");
        }
        for line in ["", "- -", "1 2 3 4 /in rw", " - nfs4 s:/x rw"] {
            assert_eq!(Volume::of_mount(line), None, "{line}");
        }
    }

    #[test]
    fn limits_are_read_where_there_are_some() {
        let none = Limits::default();
        assert_eq!(Limits::of_version_2("max\n", "max 100000\n"), none);
        assert_eq!(Limits::of_version_2("", ""), none);
        assert_eq!(Limits::of_version_1("9223372036854771712\n", "-1\n", "100000\n"), none);
        assert_eq!(Limits::of_version_2("1", "9223372036854775807 1"), Limits { memory: Some(1), ..none });
    }
}
