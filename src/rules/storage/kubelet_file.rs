use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostPath, Module};
use crate::target::Platform;

rule! {
    /// # File that Kubernetes writes itself
    ///
    /// Kubernetes writes `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` for every container. Modules of the FPGA
    /// device bind the host's `/etc/hosts`; on Kubernetes a file can't be mounted, so the module never leaves
    /// `ContainerCreating`, and it would lose the names of the cluster if it could.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/etc/hosts:/etc/hosts"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "bind", "Source": "/etc/scorer", "Target": "/etc/scorer" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe where the file is mounted over itself: the mount is removed. It asks where the module looks for the file
    /// at another path, because it then has to look elsewhere.
    id: "storage-kubelet-file",
    codes: &["STO-024"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.bind-directories-only"],
    source: "seed, Storage; real FPGA manifests (`corpus.md`)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.host_mounts(), |mount| {
        let (source, target) = (mount.source(), mount.target());
        let fix = match mount.host_path() {
            HostPath::Kubelet if source == target => Fix::safe("remove the mount"),
            HostPath::Kubelet => {
                Fix::ask(format!("remove the mount, and let the module read `{source}` where it looks for `{target}`"))
            }
            _ => return None,
        };
        let finding = Finding::new(Severity::Block, format!("`{source}` is written by Kubernetes for every container"))
            .at(mount.source_span(), "a file, and not the host's to give")
            .because("only directories can be mounted: the module never leaves ContainerCreating");
        Some(finding.fix(fix.remove(mount.at().path())))
    })
}
