use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, MountPoint, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Two mounts at one path
    ///
    /// In a container every path can be mounted once. Kubernetes refuses the module's Deployment otherwise, and that
    /// also keeps the claims of **all** modules from being made. `Binds`, `Mounts` and the `volumeMounts` of
    /// `k8s-experimental.volumes` count together.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": {
    ///     "Binds": ["/var/lib/scorer:/data"],
    ///     "Mounts": [{ "Type": "volume", "Source": "results", "Target": "/data" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [
    ///     { "Type": "bind", "Source": "/var/lib/scorer", "Target": "/cache" },
    ///     { "Type": "volume", "Source": "results", "Target": "/data" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks which of them is meant; it proposes to keep the first.
    id: "storage-duplicate-target",
    codes: &["STO-012"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "Kubernetes validation (`must be unique`, observed on 1.20); LVA",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let places = places(module);
    Verdict::each(places.iter().enumerate(), |(index, place)| {
        let first = places[..index].iter().find(|other| other.target == place.target)?;
        let target = place.target;
        let finding = Finding::new(Severity::Block, format!("two mounts at `{target}`"))
            .at(place.span, "mounted again")
            .related(first.span, "mounted here already")
            .because("Kubernetes refuses the module, and no module gets its claims")
            .fix(Fix::ask("decide which one is meant, and remove the other").remove(place.path()));
        Some(finding)
    })
}

/// What ends up in the container. Targets with placeholders are left out: the same mark may stand for different paths
/// (`<Module storage path>`).
fn places(module: Module<'_>) -> Vec<MountPoint<'_>> {
    module.mount_points().into_iter().filter(|point| !has_placeholder(point.target)).collect()
}
