use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, Mount};
use crate::target::Platform;

rule! {
    /// # Mount with a part missing
    ///
    /// Every mount needs `Type`, `Source` and `Target`. Docker takes a volume without a source (it makes an anonymous
    /// one); the agent on Kubernetes refuses the mount and stops: **no** module of the deployment is created or
    /// updated, and IoT Hub shows 500 without a name. Agents before beta14 crash on it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Target": "/data" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "results", "Target": "/data" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what is missing is for you to say. Mounts of type `tmpfs`, which have no source, are the business
    /// of STO-014.
    id: "storage-incomplete-mount",
    codes: &["STO-005"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.source-is-share"],
    source: "agent `KubernetesDeploymentMapper.cs`; Azure/iotedge commit f955f1806f",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let mounts = module.mounts().into_iter().filter(|mount| !mount.is("tmpfs"));
    Verdict::each(mounts, |mount| {
        let missing = missing(&mount);
        (!missing.is_empty()).then(|| {
            Finding::new(Severity::Block, format!("`Mounts[{}]` has no {}", mount.index, missing.join(" and no ")))
                .at(mount.at.span(), "the agent refuses this mount")
                .because("it then fails as a whole: no module of the deployment is created or updated")
                .fix(Fix::advice(advice(&missing)))
        })
    })
}

fn missing(mount: &Mount<'_>) -> Vec<&'static str> {
    let parts = [("`Type`", mount.kind), ("`Source`", mount.source), ("`Target`", mount.target)];
    parts.into_iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect()
}

fn advice(missing: &[&str]) -> &'static str {
    match missing {
        ["`Source`"] => "name the share (type `volume`) or the host directory (type `bind`) in `Source`",
        ["`Type`"] => "say `volume` for a share or `bind` for a host directory in `Type`",
        ["`Target`"] => "say in `Target` where the module sees it",
        _ => "give `Type` (`volume` or `bind`), `Source` (share or host directory) and `Target` (path in the module)",
    }
}
