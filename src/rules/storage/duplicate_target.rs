use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::{Path, Span};

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
            .fix(Fix::ask("decide which one is meant, and remove the other").remove(place.path.clone()));
        Some(finding)
    })
}

/// Something that is mounted.
struct Place<'m> {
    target: &'m str,
    span: Span,
    path: Path,
}

/// What ends up in the container, in the order of the document's sections. Targets with placeholders are left out:
/// the same mark may stand for different paths (`<Module storage path>`).
fn places(module: Module<'_>) -> Vec<Place<'_>> {
    let binds = module.binds().into_iter().filter(|bind| !bind.target.is_empty());
    let binds = binds.map(|bind| Place { target: bind.target, span: bind.target_span(), path: bind.at.path() });
    let mounts = module.mounts().into_iter().filter(|mount| mount.is("bind") || mount.is("volume"));
    let mounts = mounts.filter_map(|mount| {
        let target = mount.target?;
        Some(Place { target: target.as_str()?, span: target.span(), path: mount.at.path() })
    });
    let pod = module.pod_volumes().into_iter().flat_map(|volume| volume.mounts().collect::<Vec<_>>());
    let pod = pod.filter_map(|(mount, target)| {
        Some(Place { target: target.as_str()?, span: target.span(), path: mount.path() })
    });
    binds.chain(mounts).chain(pod).filter(|place| !has_placeholder(place.target)).collect()
}
