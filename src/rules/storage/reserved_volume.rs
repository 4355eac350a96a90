use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::volume;
use crate::manifest::Module;
use crate::target::Platform;

/// The volumes of the sidecar in every module's pod.
const RESERVED: [&str; 2] = ["config-volume", "trust-bundle-volume"];

rule! {
    /// # Volume named like one of the sidecar's
    ///
    /// Every module's pod has a sidecar, and that has two volumes: `config-volume` and `trust-bundle-volume`.
    /// Kubernetes refuses a pod with two volumes of one name, and with it the module's Deployment, which also keeps the
    /// claims of **all** modules from being made.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "config-volume", "Target": "/config" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "scorer-config", "Target": "/config" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: a share is renamed on the device first. A volume of `k8s-experimental` can have any other name, in
    /// `volume` and in `volumeMounts`.
    id: "storage-reserved-volume",
    codes: &["STO-011"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "`edgelet-kube/src/constants.rs`; ASE-PS sample pod; duplicate name refused, observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(volume::of(module), |volume| {
        let name = volume.name.as_deref().filter(|name| RESERVED.contains(name))?;
        let way_out = if volume.is_extension() {
            "give the volume another name, in `volume` and in `volumeMounts`"
        } else {
            "rename the share or the directory, and name it here"
        };
        Some(
            Finding::new(Severity::Block, format!("`{name}` is the name of a volume of the sidecar"))
                .at(volume.span, format!("becomes the volume `{name}`"))
                .because("Kubernetes refuses the module, and no module gets its claims")
                .fix(Fix::advice(way_out)),
        )
    })
}
