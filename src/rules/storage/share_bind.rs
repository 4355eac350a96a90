use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{dns_label, volume};
use crate::manifest::{HostMount, HostPath, Module, Mount, has_placeholder};
use crate::target::Platform;
use crate::text::At;

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
    /// Safe for a whole share, whether it stands in `Binds` or in a mount of type `bind`. A path below a share asks,
    /// because a volume mount has no sub-path: the share is mounted at a second place, which makes the claim and the
    /// volume, and an entry of `k8s-experimental.volumes` mounts the `subPath` where the module looks for it. There are
    /// words only where a placeholder hides the name of the volume, or the module has several paths of the share, and
    /// for the folder of all shares, which has no successor.
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
            ("", _) => Fix::advice("mount each share that the module uses as a volume of its own"),
            (share, "") => whole(module, &mount, share),
            (share, below) => folder(module, &mount, share, below),
        }))
    })
}

fn whole(module: Module<'_>, mount: &HostMount<'_>, share: &str) -> Fix {
    let value = json!({ "Type": "volume", "Source": share, "Target": mount.target() });
    let fix = Fix::safe(format!("mount the share `{share}` as a volume"));
    match mount {
        HostMount::Bind(bind) => {
            fix.remove(bind.at.path()).append(module.option_path(&["HostConfig", "Mounts"]), value)
        }
        HostMount::Mount(mount) => fix.set(mount.at.path(), value),
    }
}

/// A path below a share: the share at a second place, where it makes claim and volume, and the path by a `subPath` of that
/// volume. In words where that cannot be written down.
fn folder(module: Module<'_>, mount: &HostMount<'_>, share: &str, below: &str) -> Fix {
    let words = || {
        Fix::advice(format!(
            "mount the share `{share}` as a volume, and its `{below}` by a `subPath` in `k8s-experimental.volumes`"
        ))
    };
    let same = |name: &str, label: &str| dns_label(name).as_deref() == Some(label);
    let Some(label) = dns_label(share).filter(|_| !has_placeholder(share)) else { return words() };
    let of_share = module.host_mounts().into_iter();
    let of_share =
        of_share.filter(|other| matches!(other.host_path(), HostPath::Share { name, .. } if same(name, &label)));
    let is_volume = |other: &Mount<'_>| {
        other.is("volume") && other.source.and_then(At::as_str).is_some_and(|name| same(name, &label))
    };
    let mounted = module.mounts().iter().any(is_volume);
    let place = format!("/mnt/{label}");
    let taken = !mounted && module.mount_points().iter().any(|point| point.target.trim_end_matches('/') == place);
    // Two fixes would mount the share twice, which agents before beta14 can't do (STO-013).
    if of_share.count() > 1 || taken || mount.target().is_empty() || below.split('/').any(|part| part == "..") {
        return words();
    }
    let read_only = match mount {
        HostMount::Bind(bind) => bind.is_read_only(),
        HostMount::Mount(mount) => mount.read_only,
    };
    let part = volume::part_of(&label, mount.target(), below, read_only);
    let fix = if mounted {
        Fix::ask(format!("mount `{below}` of the share `{share}` by a `subPath`")).remove(mount.at().path())
    } else {
        let fix = Fix::ask(format!("mount the share `{share}` at `{place}`, and its `{below}` by a `subPath`"));
        let value = json!({ "Type": "volume", "Source": share, "Target": place });
        match mount {
            HostMount::Bind(bind) => {
                fix.remove(bind.at.path()).append(module.option_path(&["HostConfig", "Mounts"]), value)
            }
            HostMount::Mount(mount) => fix.set(mount.at.path(), value),
        }
    };
    fix.append(module.option_path(&["k8s-experimental", "volumes"]), part)
}
