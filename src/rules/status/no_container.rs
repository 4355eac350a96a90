use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that is declared and has no container
    ///
    /// The deployment says that the module is to run, its image is on the device, and yet there is no container of it.
    /// Somebody removed it, or edgeAgent has not made it: it is not running, has not read this deployment yet, or failed in another
    /// module of it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } } },
    ///   "engine": { "images": { "scorer:1": "sha256:1" } } }
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
    /// Words only: find out what edgeAgent does.
    id: "status-no-container",
    codes: &["STS-006"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Engine, Need::Deployment],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`ase-runtime.md`, what each platform lists; Docker event `destroy`",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some((declared, engine)) = sighting.lacks_container() else { return Verdict::Judged(Vec::new()) };
    let Some(image) = declared.entry().get("settings").and_then(|settings| settings.get("image")) else {
        return Verdict::NotApplicable;
    };
    // Without its image it cannot have one: `image-absent`.
    let finding = image.as_str().and_then(|name| engine.image(name)).map(|_| {
        let removed = engine.removed.get(sighting.id);
        let message = match removed {
            Some(at) => format!("the container of `{}` was removed at {at}", sighting.id),
            None => format!("`{}` is to run and has no container", sighting.id),
        };
        Finding::new(Severity::Block, message)
            .at(declared.entry().key_span(), "declared here")
            .because("its image is there, so edgeAgent has not made the container, or somebody took it away")
            .fix(Fix::advice("look whether edgeAgent runs and at the end of its log"))
    });
    finding.into()
}
