//! To whom a process belongs, by what the kernel says of its control groups (`gpu.md` §4.2).

use serde::{Deserialize, Serialize};

/// How many hexadecimal digits the id of a container has, with Docker, containerd, CRI-O and podman alike.
const ID: usize = 64;
/// How the server of the Multi-Process Service begins; the kernel keeps 15 letters.
const MPS: &str = "nvidia-cuda-mps";
/// Its service on Azure Stack Edge.
const MPS_SERVICE: &str = "/nvidia-mps.service";

/// To whom a process belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Nobody could tell.
    #[default]
    Unknown,
    /// A container: its id, after those of the containers that it runs in.
    Container(Vec<String>),
    /// The server of the Multi-Process Service, through which modules compute.
    MpsServer,
    /// The host, outside of every container.
    Host,
}

impl Owner {
    /// Whose a process is whose `/proc/PID/cgroup` says `cgroup` and whose `/proc/PID/comm` says `program`.
    pub fn of(cgroup: &str, program: &str) -> Self {
        if cgroup.trim().is_empty() {
            return Owner::Unknown;
        }
        // `NUMBER:CONTROLLERS:PATH`, with colons in the path of some runtimes.
        let paths = || cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        if program.starts_with(MPS) || paths().any(|path| path.ends_with(MPS_SERVICE)) {
            return Owner::MpsServer;
        }
        let ids = paths().map(|path| path.split('/').filter_map(id).map(str::to_owned).collect::<Vec<_>>());
        ids.into_iter().find(|ids| !ids.is_empty()).map_or(Owner::Host, Owner::Container)
    }

    pub(super) fn is_unknown(&self) -> bool {
        *self == Owner::Unknown
    }
}

/// The id in one part of a path: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `SLICE:cri-containerd:ID`.
fn id(part: &str) -> Option<&str> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let last = part.rsplit(['-', ':']).next()?;
    (last.len() == ID && last.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3fb1c2d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0";
    const B: &str = "0ffeeddccbbaa99887766554433221100f9e8d7c6b5a49382716f0e5d4c2b13f";

    #[test]
    fn every_runtime_names_its_containers() {
        for path in [
            "0::/docker/A",
            "12:memory:/docker/A\n11:cpu:/docker/A",
            "0::/system.slice/docker-A.scope",
            "4:devices:/kubepods/burstable/pod0f3c1b7e-0000-4000-8000-0123456789ab/A",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f3c1b7e_0000_4000_8000_0123456789ab.slice/cri-containerd-A.scope",
            "0::/kubepods.slice/kubepods-pod0f3c1b7e_0000_4000_8000_0123456789ab.slice/crio-A.scope/container",
            "1:name=systemd:/system.slice/containerd.service/kubepods-besteffort-pod0f3c.slice:cri-containerd:A",
            "0::/machine.slice/libpod-A.scope/container",
            // A private control group namespace shows its siblings.
            "0::/../docker-A.scope",
            "0::/../../A",
            "13:misc:/\n0::/docker/A",
        ] {
            let found = Owner::of(&path.replace('A', A), "python3");
            assert_eq!(found, Owner::Container(vec![A.to_owned()]), "{path}");
        }
    }

    #[test]
    fn a_container_in_a_container_is_both() {
        let path = format!("0::/docker/{A}/kubelet.slice/kubelet-kubepods-pod1.slice/cri-containerd-{B}.scope");
        assert_eq!(Owner::of(&path, "trainer"), Owner::Container(vec![A.to_owned(), B.to_owned()]));
    }

    #[test]
    fn what_runs_in_no_container_says_so() {
        assert_eq!(Owner::of("0::/user.slice/user-0.slice/session-1.scope\n", "python3"), Owner::Host);
        assert_eq!(Owner::of("0::/system.slice/nvidia-mps.service\n", "sh"), Owner::MpsServer);
        assert_eq!(Owner::of(&format!("0::/docker/{A}"), "nvidia-cuda-mps\n"), Owner::MpsServer);
        // Too long, too short, and capital letters are no ids.
        for other in [format!("{A}0"), A[1..].to_owned(), A.to_uppercase()] {
            assert_eq!(Owner::of(&format!("0::/docker/{other}"), "python3"), Owner::Host, "{other}");
        }
        assert_eq!(Owner::of("", "python3"), Owner::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_an_owner_and_ids_are_ids(text in "[0-9a-f:/.\\-_ \n]{0,40}", name in "\\PC{0,20}") {
            let text = text.replace("ff", A);
            if let Owner::Container(ids) = Owner::of(&text, &name) {
                assert!(!ids.is_empty() && ids.iter().all(|id| id.len() == ID && text.contains(id.as_str())));
            }
        }
    }
}
