use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Bind, HostMount, HostPath, Module};
use crate::target::Platform;

rule! {
    /// # Host directory in `Binds`
    ///
    /// Kubernetes gives the module the directory of the node that it happens to run on, and makes an empty one if
    /// there is none. Nothing of what lay in it on the old device is there, and on a device with two nodes the data
    /// stays behind when the module moves to the other. Data that must live belongs on a share.
    ///
    /// The sources disagree here: the migration guide says that a deployment on Kubernetes can't have binds, the video
    /// analytics guide that it links to tells its readers to use them. The agent translates binds of directories, and
    /// writes them exactly like mounts of type `bind`; the guide's form says plainly what is meant.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/var/lib/scorer:/cache"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// For a directory of the node, a mount of type `bind`; for data that must live, one of type `volume` with a
    /// share as its source.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "bind", "Source": "/var/lib/scorer", "Target": "/cache" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the bind becomes a mount of the same directory. Where the source begins with a placeholder it needs a
    /// person, because it may stand for a share. Where one stands for the whole entry, nothing can be judged before a
    /// tool has filled it in.
    ///
    /// Directories of the operating system, such as `/dev`, `/sys` and `/etc`, are on every node: the module sees what
    /// that node has there, and no share takes their place. (Devices below `/dev` need more than the directory:
    /// GPU-014.)
    id: "storage-host-bind",
    codes: &["STO-002"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.no-binds", "storage.host-path-is-bind"],
    source: "seed, Storage; K8S-BP hoststorage; agent `KubernetesDeploymentMapper.cs`; contradiction C1",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let unclear = module.binds().into_iter().filter(Bind::is_hidden).map(HostMount::Bind);
    Verdict::each(module.host_mounts().into_iter().chain(unclear), |mount| {
        let HostMount::Bind(bind) = mount else { return None };
        if bind.is_hidden() {
            return Some(hidden(&bind));
        }
        let source = bind.source;
        let (message, label, reason, fix) = match mount.host_path() {
            HostPath::System => (
                format!("`{source}` is a directory of the node's own system"),
                "the node's, not the old device's",
                "the module sees what the node has here; what only the old device had here is missing",
                Fix::safe("mount the directory by `Mounts`, the form for host paths"),
            ),
            HostPath::Directory => (
                format!("`{source}` is a directory of the node, not a share"),
                "what the module keeps here stays on this node",
                "it starts empty, and stays behind when the module moves; data that must live wants a share",
                Fix::safe("mount the directory by `Mounts`, the form for host paths"),
            ),
            HostPath::Placeholder => (
                format!("`{source}` is bound, and may be a share"),
                "stands for a share or for a directory of the node",
                "if it is a share by its path on the FPGA device, the module gets an empty directory instead",
                Fix::ask("if it is a host path, mount it as that; if it is a share, use type `volume` and its name"),
            ),
            _ => return None,
        };
        let finding = Finding::new(Severity::Warn, message).at(bind.source_span(), label).because(reason);
        Some(finding.fix(as_mount(module, &bind, fix)))
    })
}

/// A bind of which not even the target is known.
fn hidden(bind: &Bind<'_>) -> Finding {
    Finding::new(Severity::Warn, "a bind that cannot be judged before it is filled in")
        .at(bind.source_span(), "stands for source and target")
        .because("it may be a share by its path, which the module then finds empty, or a file, which cannot be mounted")
        .fix(Fix::advice("write it out, `source:target`, or check the deployment that is made of this template"))
}

/// Completes `fix` with the same directory as a mount.
fn as_mount(module: Module<'_>, bind: &Bind<'_>, fix: Fix) -> Fix {
    let mut value = json!({ "Type": "bind", "Source": bind.source, "Target": bind.target });
    if bind.is_read_only() {
        value["ReadOnly"] = true.into();
    }
    fix.remove(bind.at.path()).append(module.option_path(&["HostConfig", "Mounts"]), value)
}
