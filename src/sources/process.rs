//! What the process knows of itself: the limits of its control group, its mounts, its proxies. Needs no right.

#![expect(clippy::disallowed_methods, reason = "the kernel says these things in files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::{Look, Question, Sight, Source, proxy};
use crate::evidence::{Limits, Namespaces, Observed, Owner, Process, Space, Volume, Why};

/// How long a file system may take to say how full it is. One whose server is away never comes back.
const ANSWER: Duration = Duration::from_secs(1);
/// The numbers of the host's own namespaces, the same on every kernel (Linux, `include/linux/proc_ns.h`).
const HOST_IPC: u32 = 0xEFFF_FFFF;
const HOST_UTS: u32 = 0xEFFF_FFFE;
const HOST_PID: u32 = 0xEFFF_FFFC;

/// This process.
pub struct OwnProcess {
    root: PathBuf,
    variables: Vec<(String, String)>,
    /// Mounts that have not answered yet: nobody asks them again, or threads would pile up.
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl OwnProcess {
    /// The process whose files are below `root` (`/`), with its environment.
    pub fn new(root: impl Into<PathBuf>, variables: Vec<(String, String)>) -> Self {
        Self { root: root.into(), variables, asked: Arc::default() }
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
        let at = |path: &str| self.read(&format!("sys/fs/cgroup/{path}"));
        let text = |path: &str| at(path).unwrap_or_default();
        if self.root.join("sys/fs/cgroup/cgroup.controllers").exists() {
            return (Some(2), Limits::of_version_2(&text("memory.max"), &text("cpu.max")));
        }
        let memory = at("memory/memory.limit_in_bytes");
        let version = memory.as_ref().map(|_| 1);
        let (quota, period) = (text("cpu/cpu.cfs_quota_us"), text("cpu/cpu.cfs_period_us"));
        (version, Limits::of_version_1(&memory.unwrap_or_default(), &quota, &period))
    }
}

impl OwnProcess {
    /// Which of the host's namespaces are ours too.
    fn namespaces(&self) -> Namespaces {
        let is_hosts = |kind: &str, number: u32| {
            let link = std::fs::read_link(self.root.join("proc/self/ns").join(kind)).ok()?;
            let own = link.to_str()?.strip_prefix(kind)?.trim_matches([':', '[', ']']).parse::<u32>().ok()?;
            Some(own == number)
        };
        Namespaces {
            pid: is_hosts("pid", HOST_PID),
            net: self.shares_network(),
            ipc: is_hosts("ipc", HOST_IPC),
            uts: is_hosts("uts", HOST_UTS),
        }
    }

    /// Whether the network is the host's, which has no number of its own: there are bridges on a host, and a container
    /// has nothing but ends of cables.
    fn shares_network(&self) -> Option<bool> {
        let interfaces = std::fs::read_dir(self.root.join("sys/class/net")).ok()?;
        let interfaces: Vec<PathBuf> = interfaces.filter_map(|entry| Some(entry.ok()?.path())).collect();
        let number = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
        let is_end = |path: &PathBuf| Some(number(path.join("iflink"))? != number(path.join("ifindex"))?);
        if interfaces.iter().any(|path| path.join("bridge").exists()) {
            return Some(true);
        }
        let mut others = interfaces.iter().filter(|path| path.file_name().is_some_and(|name| name != "lo")).peekable();
        others.peek()?;
        others.map(is_end).collect::<Option<Vec<bool>>>()?.into_iter().all(|is_end| is_end).then_some(false)
    }

    /// `volumes` with their space and whether anything is in them.
    async fn measured(&self, volumes: Vec<Volume>) -> Vec<Volume> {
        let mut looks = JoinSet::new();
        for (i, volume) in volumes.into_iter().enumerate() {
            let path = self.root.join(volume.target.trim_start_matches('/'));
            let asked = Arc::clone(&self.asked);
            looks.spawn(async move { (i, measured(volume, path, asked).await) });
        }
        let mut volumes = looks.join_all().await;
        volumes.sort_by_key(|(i, _)| *i);
        volumes.into_iter().map(|(_, volume)| volume).collect()
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
                device: self.variable("IOTEDGE_DEVICEID").map(str::to_owned),
                cgroup,
                limits,
                mounts: self.measured(mounts.lines().filter_map(Volume::of_mount).collect()).await,
                proxies: proxy::proxies(variables, self.variable("IOTEDGE_IOTHUBHOSTNAME"), false).await,
                no_proxy: self.variable("no_proxy").map(str::to_owned),
                visible_devices: self.variable("NVIDIA_VISIBLE_DEVICES").map(str::to_owned),
                namespaces: self.namespaces(),
            }))))
        })
    }
}

/// `volume`, which is at `path`, with what its file system says in time.
async fn measured(volume: Volume, path: PathBuf, asked: Arc<Mutex<BTreeSet<String>>>) -> Volume {
    let waiting = || asked.lock().unwrap_or_else(PoisonError::into_inner);
    if !waiting().insert(volume.target.clone()) {
        let why = Why::failed(format!("{} has not answered since it was asked before", volume.target));
        return Volume { space: Observed::Unknown(why), ..volume };
    }
    let (target, done) = (volume.target.clone(), Arc::clone(&asked));
    let look = spawn_blocking(move || {
        let found = (space(&path), is_empty(&path));
        done.lock().unwrap_or_else(PoisonError::into_inner).remove(&target);
        found
    });
    let failed = |why: &str| Observed::Unknown(Why::failed(format!("{}: {why}", volume.target)));
    let (space, is_empty) = match timeout(ANSWER, look).await {
        Ok(Ok((Ok(space), is_empty))) => (Observed::Known(space), is_empty),
        Ok(Ok((Err(error), is_empty))) => (failed(&error.to_string()), is_empty),
        Ok(Err(_)) => (failed("the look at it broke, a fault of ours"), None),
        Err(_) => (failed("it does not answer"), None),
    };
    Volume { is_empty, space, ..volume }
}

fn space(path: &Path) -> std::io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space { size: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// Whether it is a directory with nothing in it but what makes a file system's root.
fn is_empty(path: &Path) -> Option<bool> {
    let entries = std::fs::read_dir(path).ok()?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    Some(!names.any(|name| name != "lost+found"))
}

/// The file systems that are mounted in the container `id`, by target, as the kernel shows them of its process `pid`. Nothing where
/// the process of that number is another one: the engine's numbers are those of its own machine and namespace.
pub(super) fn file_systems(pid: i64, id: &str) -> BTreeMap<String, String> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let is_its = matches!(Owner::of(&read("cgroup"), ""), Owner::Container(ids) if ids.iter().any(|other| other == id));
    let table = if is_its { read("mountinfo") } else { String::new() };
    // Of two mounts at one place the later one is seen.
    table.lines().filter_map(Volume::of_mount).map(|volume| (volume.target, volume.file_system)).collect()
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
        let share = &process.mounts[0];
        assert_eq!((share.target.as_str(), share.is_share(), share.read_only), ("/home/input data", true, true));
        let Observed::Unknown(why) = &share.space else { panic!("{share:?}") };
        assert!(why.what.starts_with("/home/input data: No such file"), "{why:?}");

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
    async fn a_directory_is_told_from_an_empty_one_and_namespaces_from_the_hosts() {
        let mounts = "1 0 8:1 / /full rw - ext4 sda rw\n2 0 8:1 / /empty rw - ext4 sda rw\n";
        let root = root(
            "spaces",
            &[
                ("proc/self/mountinfo", mounts),
                ("full/x", ""),
                ("sys/class/net/eth0/iflink", "12\n"),
                ("sys/class/net/eth0/ifindex", "2\n"),
            ],
        );
        fs::create_dir_all(root.join("empty/lost+found")).unwrap();
        fs::create_dir_all(root.join("sys/class/net/lo")).unwrap();
        fs::create_dir_all(root.join("proc/self/ns")).unwrap();
        for (kind, number) in [("pid", "4026531836"), ("ipc", "4026532299"), ("uts", "nonsense")] {
            std::os::unix::fs::symlink(format!("{kind}:[{number}]"), root.join("proc/self/ns").join(kind)).unwrap();
        }
        let process = seen(&root, Vec::new()).await.unwrap();
        let empty: Vec<Option<bool>> = process.mounts.iter().map(|volume| volume.is_empty).collect();
        assert_eq!(empty, [Some(false), Some(true)]);
        let space = process.mounts[0].space.known().unwrap();
        assert!(space.size >= space.free && space.size > 0, "{space:?}");
        let expected = Namespaces { pid: Some(true), net: Some(false), ipc: Some(false), uts: None };
        assert_eq!(process.namespaces, expected);
    }

    #[tokio::test]
    async fn a_mount_that_hangs_is_named_and_asked_once() {
        let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        asked.lock().unwrap().insert("/share".to_owned());
        let share = Volume::of_mount("1 0 8:1 / /share rw - nfs s:/x rw").unwrap();
        let share = measured(share, PathBuf::from("/"), asked).await;
        let Observed::Unknown(why) = share.space else { panic!("{share:?}") };
        assert_eq!(why.what, "/share has not answered since it was asked before");
    }

    #[test]
    fn the_mounts_of_another_process_are_not_taken_for_a_containers() {
        let own = i64::from(std::process::id());
        assert_eq!(file_systems(own, &"0".repeat(64)), BTreeMap::new());
        assert_eq!(file_systems(0, ""), BTreeMap::new());
    }

    #[tokio::test]
    async fn without_the_kernels_files_it_says_so() {
        assert_eq!(seen(Path::new("/nowhere"), Vec::new()).await.unwrap_err(), "cannot read /proc/self/mountinfo");
    }
}
