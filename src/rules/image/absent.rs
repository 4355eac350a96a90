use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Image that is not on the device
    ///
    /// The deployment says that the module is to run; there is no container of it, and its image is not on the device either.
    /// So the image cannot be pulled, or is still on its way: the name is wrong, the registry refuses, or there is no way to it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "scorer": { "settings": { "image": "registry.example/scorer:1" } } } } } } },
    ///   "engine": { "images": { "other:1": "sha256:1" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } } },
    ///   "engine": { "images": { "scorer:1": "sha256:1" }, "containers": { "scorer": { "status": "running" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: pull the image by hand on the device and read what the registry says.
    id: "image-absent",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Engine, Need::Deployment],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `GET /images/json`; migration rules STS-002",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some((declared, engine)) = sighting.lacks_container() else { return Verdict::Judged(Vec::new()) };
    let image = declared.entry().get("settings").and_then(|settings| settings.get("image"));
    let Some((image, name)) = image.and_then(|at| Some((at, at.as_str()?))) else { return Verdict::NotApplicable };
    let finding = engine.image(name).is_none().then(|| {
        Finding::new(
            Severity::Block,
            format!("the image of `{}` is not on the device, and it has no container", sighting.id),
        )
        .at(image.span(), "not among the engine's images")
        .because("it cannot be pulled or is still on its way: name, credentials, registry and proxy decide")
        .fix(Fix::advice("pull it by hand on the device, and read what the registry says"))
    });
    finding.into()
}
