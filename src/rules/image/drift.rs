use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Container of another image than the deployment names
    ///
    /// The module runs an image that is not the one that the deployment's name stands for on this device: the tag was pulled
    /// again and names something newer, or the container is from an older deployment. IoT Edge compares names, not contents, so it will
    /// not replace the container by itself; on another device the same deployment runs something else.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } } },
    ///   "engine": { "images": { "scorer:1": "sha256:22" },
    ///     "containers": { "scorer": { "status": "running", "image": "scorer:1", "image_id": "sha256:11" } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } } },
    ///   "engine": { "images": { "scorer:1": "sha256:11" },
    ///     "containers": { "scorer": { "status": "running", "image": "scorer:1", "image_id": "sha256:11" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: give each build a tag of its own, and deploy that.
    id: "image-drift",
    codes: &[],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Engine, Need::Deployment],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `Image` of the container and `RepoTags`, `RepoDigests` of the images",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let (Some(declared), Some(container), Some(engine)) = (sighting.declared, sighting.container, sighting.engine)
    else {
        return Verdict::NotApplicable;
    };
    let image = declared.entry().get("settings").and_then(|settings| settings.get("image"));
    let Some((at, name)) = image.and_then(|at| Some((at, at.as_str()?))) else { return Verdict::NotApplicable };
    let runs = &container.image_id;
    let differs = match engine.image(name) {
        Some(id) if id != runs => Some(format!("the name stands for {} now", short(&id.0))),
        Some(_) => None,
        None => (container.image != name).then(|| format!("it was made from `{}`", container.image)),
    };
    let finding = differs.map(|why| {
        Finding::new(
            Severity::Warn,
            format!("`{}` runs the image {}, not what is declared", sighting.id, short(&runs.0)),
        )
        .at(at.span(), why)
        .because("IoT Edge compares names, not contents: it will not replace the container by itself")
        .fix(Fix::advice("give each build a tag of its own, and deploy that"))
    });
    finding.into()
}

/// An id as Docker shows it.
fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
