use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostMount, HostPath, Module};
use crate::target::Platform;

rule! {
    /// # Share bound by its host path
    ///
    /// On the FPGA device a share is mounted on the host at `/home/hcsshares/<share>`, and modules bind that path.
    /// The GPU device has no such path. Kubernetes makes an **empty directory** in its place and the module runs,
    /// looking healthy: its input never arrives, and its output stays on the node where nobody looks.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/home/hcsshares/input:/home/input"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A mount of type `volume` whose source is the name of the share. The share must exist on the GPU device, made
    /// with "Use the share with Edge compute".
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "input", "Target": "/home/input" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe for a whole share, whether it stands in `Binds` or in a mount of type `bind`. A path below a share needs
    /// a person: a volume mount has no sub-path, so the module sees the whole share unless the sub-path is written as
    /// a `volumeMounts` entry of `k8s-experimental.volumes`. So does the folder of all shares, which has no successor.
    /// A read-only bind becomes a mount that can be written: the claim for a read-only one would ask for a mode that
    /// the share's volume does not have, and never be bound (STO-007).
    id: "storage-share-bind",
    codes: &["STO-001"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.volume-mounts", "storage.no-binds", "storage.persistent-is-volume", "storage.source-is-share"],
    source: "ASE-FPGA sample; seed, Storage; K8S-TR PodSpec volumes; empty directory observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.host_mounts(), |mount| {
        let HostPath::Share { name, below } = mount.host_path() else { return None };
        let message = match name {
            "" => "the folder of all shares is bound by its path on the FPGA device".to_owned(),
            name => format!("share `{name}` is bound by its path on the FPGA device"),
        };
        let finding = Finding::new(Severity::Silent, message)
            .at(mount.source_span(), "this path does not exist on the GPU device")
            .because("the module gets an empty directory and runs as if all were well");
        Some(finding.fix(match (name, below) {
            ("", _) => Fix::ask("mount each share that the module uses as a volume of its own"),
            (share, "") => volume(module, &mount, share),
            (share, below) => Fix::ask(format!(
                "mount the share `{share}` as a volume and decide how the module finds `{below}` in it"
            )),
        }))
    })
}

fn volume(module: Module<'_>, mount: &HostMount<'_>, share: &str) -> Fix {
    let value = json!({ "Type": "volume", "Source": share, "Target": mount.target() });
    let fix = Fix::safe(format!("mount the share `{share}` as a volume"));
    match mount {
        HostMount::Bind(bind) => {
            fix.remove(bind.at.path()).append(module.option_path(&["HostConfig", "Mounts"]), value)
        }
        HostMount::Mount(mount) => fix.set(mount.at.path(), value),
    }
}
