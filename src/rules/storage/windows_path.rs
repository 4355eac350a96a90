use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostMount, HostPath, Module};
use crate::target::Platform;

rule! {
    /// # Path of a Windows host
    ///
    /// The GPU device runs Linux, and its agent splits an entry of `Binds` at **every** colon. Of `C:\data:/data` it
    /// makes the host path `C`, mounted at `\data`, and takes `/data` for the mode. Kubernetes accepts all that: the
    /// module runs on an empty directory, at a path where it doesn't look. In `Mounts` the path stays whole, and is one
    /// that Linux doesn't have.
    ///
    /// Docker in an Ubuntu VM refuses both, and the module is not made (`invalid mode`, `invalid volume specification`,
    /// `mount path must be absolute`).
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["C:\\data:/data"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "data", "Target": "/data" }] ,
    ///                   "Binds": ["/var/lib/scorer:/cache"] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: where the data lies on the device is for you to say.
    id: "storage-windows-path",
    codes: &["STO-026"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &["storage.no-binds"],
    source: "agent `KubernetesDeploymentMapper.cs`; such paths accepted and running, observed on Kubernetes 1.20; refused, observed on Docker 20.10",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let docker = context.target.platform.has_docker();
    Verdict::each(module.host_mounts(), |mount| {
        if mount.host_path() != HostPath::Windows {
            return None;
        }
        let reason = match mount {
            _ if docker => "Docker on Linux refuses the mount, and the module is not made",
            HostMount::Bind(bind) if bind.source.get(1..2) == Some(":") => {
                "the agent takes the letter of the drive for the path: the module runs on an empty directory elsewhere"
            }
            _ => "Linux takes it for the name of something that is not there: the module runs on an empty directory",
        };
        Some(
            Finding::new(
                if docker { Severity::Block } else { Severity::Silent },
                format!("`{}` is a path of Windows", mount.source()),
            )
            .at(mount.source_span(), "no such path on Linux")
            .because(reason)
            .fix(Fix::advice(if docker {
                "bind the path at which the VM mounts the share, or a directory of the VM"
            } else {
                "mount a share (`volume`) or a directory of the node (`bind`)"
            })),
        )
    })
}
