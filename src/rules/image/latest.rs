use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Image without a version
    ///
    /// `latest`, which is also what no tag means, is another image tomorrow. Kubernetes looks for a newer one at
    /// **every** start of the module: after a restart it may run a version that nobody has tested, and on a slow link,
    /// or without one, it stays in `ContainerCreating` (IoT Hub shows `backoff`).
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "example.azurecr.io/scorer:latest" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "example.azurecr.io/scorer:1.4.2" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: which version runs on the old device is for you to look up. The image of edgeAgent is not applied at
    /// all (LIF-006), so it is not looked at.
    id: "image-latest",
    codes: &["LIF-004"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["status.backoff"],
    source: "IE-PROD, tags; Kubernetes' default pull policy; agent (no tag becomes `latest`)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() && module.id() == "edgeAgent" {
        return Verdict::NotApplicable;
    }
    Verdict::each(module.image(), |image| {
        let message = match image.tag() {
            _ if image.has_digest() => return None,
            Some("latest") => "the image is whatever `latest` means on the day",
            None if !image.is_hidden() => "the image has no tag, which means `latest`",
            _ => return None,
        };
        Some(
            Finding::new(Severity::Warn, message)
                .at(image.tag_span(), "another image tomorrow")
                .because(
                    "Kubernetes pulls it at every start: on a slow link that takes long, and it may be another version",
                )
                .fix(Fix::advice("name the version that runs now")),
        )
    })
}
