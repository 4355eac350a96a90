//! What the process knows of itself: the limits of its control group, its mounts, its proxies. Needs no right.

#![expect(clippy::disallowed_methods, reason = "the kernel says these things in files")]

use std::path::{Path, PathBuf};

use super::{Look, Question, Sight, Source, proxy};
use crate::evidence::{Limits, Process, Volume};

/// Mount points that every container has.
const USUAL: [&str; 4] = ["/", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
/// Where the kernel shows itself.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Version 1 says "no limit" with the largest number of pages; no device has that much memory, bytes.
const UNLIMITED: i64 = 1 << 60;

/// This process.
pub struct OwnProcess {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

impl OwnProcess {
    /// The process whose files are below `root` (`/`), with its environment.
    pub fn new(root: impl Into<PathBuf>, variables: Vec<(String, String)>) -> Self {
        Self { root: root.into(), variables }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    /// Version and limits of the control group.
    fn limits(&self) -> (Option<u8>, Limits) {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let cpus = |quota: Option<i64>, period: Option<i64>| {
            let (quota, period) = (quota.filter(|quota| *quota > 0)?, period.filter(|period| *period > 0)?);
            quota.checked_mul(1_000_000_000)?.checked_div(period)
        };
        if self.root.join("sys/fs/cgroup/cgroup.controllers").exists() {
            let memory = self.read("sys/fs/cgroup/memory.max").and_then(|text| number(&text));
            let cpu = self.read("sys/fs/cgroup/cpu.max").unwrap_or_default();
            let mut words = cpu.split_ascii_whitespace().map(number);
            let (quota, period) = (words.next().flatten(), words.next().flatten());
            return (Some(2), Limits { memory, nano_cpus: cpus(quota, period) });
        }
        let at = |path: &str| self.read(&format!("sys/fs/cgroup/{path}")).and_then(|text| number(&text));
        let memory = at("memory/memory.limit_in_bytes");
        let limits = Limits {
            memory: memory.filter(|memory| *memory < UNLIMITED),
            nano_cpus: cpus(at("cpu/cpu.cfs_quota_us"), at("cpu/cpu.cfs_period_us")),
        };
        (memory.map(|_| 1), limits)
    }
}

impl Source for OwnProcess {
    fn name(&self) -> &'static str {
        "process"
    }

    fn question(&self) -> Question {
        Question::Process
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async {
            let (cgroup, limits) = self.limits();
            let mounts = self.read("proc/self/mountinfo").ok_or("cannot read /proc/self/mountinfo")?;
            let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            Ok(Some(Sight::Process(Box::new(Process {
                module: self.variable("IOTEDGE_MODULEID").map(str::to_owned),
                cgroup,
                limits,
                mounts: mounts.lines().filter_map(volume).collect(),
                proxies: proxy::proxies(variables, self.variable("IOTEDGE_IOTHUBHOSTNAME"), false).await,
                no_proxy: self.variable("no_proxy").map(str::to_owned),
                visible_devices: self.variable("NVIDIA_VISIBLE_DEVICES").map(str::to_owned),
            }))))
        })
    }
}

/// A line of `mountinfo`, if it is a mount that somebody asked for: `… ROOT TARGET OPTIONS … - TYPE SOURCE …`.
fn volume(line: &str) -> Option<Volume> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(4);
    let (target, options) = (fields.next()?, fields.next()?);
    let is_kernels = KERNEL.iter().any(|above| Path::new(target).starts_with(above));
    if USUAL.contains(&target) || is_kernels {
        return None;
    }
    Some(Volume {
        target: target.replace("\\040", " "),
        file_system: right.split(' ').next()?.to_owned(),
        read_only: options.split(',').any(|option| option == "ro"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn root(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("edgeshift-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    async fn seen(root: &Path, variables: Vec<(String, String)>) -> Result<Process, String> {
        let sight = OwnProcess::new(root, variables).look().await;
        fs::remove_dir_all(root).ok();
        sight.map(|sight| match sight {
            Some(Sight::Process(process)) => *process,
            other => panic!("{other:?}"),
        })
    }

    #[tokio::test]
    async fn both_versions_of_control_groups_are_read() {
        let mounts = (
            "proc/self/mountinfo",
            "1 0 8:1 / / rw - overlay overlay rw\n2 1 0:5 / /proc rw - proc proc rw\n\
            3 1 0:9 / /home/input\\040data ro,nosuid - nfs4 s:/x rw\nnonsense\n",
        );
        let one = root(
            "cgroup1",
            &[
                mounts,
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ],
        );
        let process = seen(&one, vec![("no_proxy".to_owned(), "edgehub".to_owned())]).await.unwrap();
        assert_eq!((process.cgroup, process.no_proxy.as_deref()), (Some(1), Some("edgehub")));
        assert_eq!(process.limits, Limits { memory: Some(67_108_864), nano_cpus: Some(500_000_000) });
        let share = Volume { target: "/home/input data".to_owned(), file_system: "nfs4".to_owned(), read_only: true };
        assert_eq!(process.mounts, [share]);

        let two = root(
            "cgroup2",
            &[
                mounts,
                ("sys/fs/cgroup/cgroup.controllers", "cpu memory"),
                ("sys/fs/cgroup/memory.max", "max\n"),
                ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
            ],
        );
        let process = seen(&two, Vec::new()).await.unwrap();
        assert_eq!(process.cgroup, Some(2));
        assert_eq!(process.limits, Limits { memory: None, nano_cpus: Some(1_500_000_000) });
    }

    #[tokio::test]
    async fn without_the_kernels_files_it_says_so() {
        assert_eq!(seen(Path::new("/nowhere"), Vec::new()).await.unwrap_err(), "cannot read /proc/self/mountinfo");
    }
}
