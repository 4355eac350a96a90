use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostPath, Module};
use crate::target::{Platform, Software, Target};

rule! {
    /// # Docker of the host
    ///
    /// A module that mounts Docker's socket, its client, or `/run` watches or steers the containers beside it. The GPU
    /// device runs them by Kubernetes, and from software 2312 on Kubernetes runs on containerd: there is no Docker
    /// to talk to. Earlier releases still have it, and even there Kubernetes doesn't expect anyone else to use it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/var/run/docker.sock:/var/run/docker.sock"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Metrics of the modules and of the GPUs, from Azure Monitor or from EdgeShift's own module, which need no
    /// socket.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "bind", "Source": "/var/lib/telegraf", "Target": "/data" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. The finding blocks for software 2312 and later, and warns for earlier or unknown software
    /// (`--target ase-k8s@2312` tells).
    id: "storage-docker-socket",
    codes: &["STO-023"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-BP docksock; ASE-RN2312, what's new",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.host_mounts(), |mount| {
        (mount.host_path() == HostPath::Docker).then(|| {
            Finding::new(severity(context.target), format!("`{}` brings Docker into the module", mount.source()))
                .at(mount.source_span(), "Docker of the host")
                .because("the GPU device has no Docker from software 2312 on")
                .fix(Fix::advice("take metrics from Azure Monitor or EdgeShift's module, not from Docker"))
        })
    })
}

fn severity(target: Target) -> Severity {
    let gone = target.software.is_some_and(|software| software >= Software::FIRST_WITHOUT_DOCKER);
    if gone { Severity::Block } else { Severity::Warn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_blocks_where_docker_is_gone() {
        for (target, expected) in
            [("ase-k8s", Severity::Warn), ("ase-k8s@2203", Severity::Warn), ("ase-k8s@2312", Severity::Block)]
        {
            assert_eq!(severity(target.parse().unwrap()), expected, "{target}");
        }
    }
}
