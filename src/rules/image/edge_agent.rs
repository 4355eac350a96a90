use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Image of edgeAgent
    ///
    /// The agent on Kubernetes is a release of its own, `0.1.0-beta…`, that comes with the software of the device. It
    /// never replaces itself: the image of `edgeAgent` in a deployment is not applied. Afterwards the reported image
    /// differs from the desired one, and stays so; that is no failure.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeAgent": { "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:1.1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing: a deployment must have the image, and it does no harm. An image of the agent on Kubernetes is not
    /// reported.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeAgent": { "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:0.1.0-beta13" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None is needed. Only the dashboards and alerts that compare the two images want to know.
    id: "image-edge-agent",
    codes: &["LIF-006"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `EdgeDeploymentCommand.cs` (a workaround in the preview)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let image = module.image().filter(|_| module.is_system() && module.id() == "edgeAgent");
    Verdict::each(image, |image| {
        let is_preview = image.tag().is_some_and(|tag| tag.starts_with("0.1.0-beta"));
        (!is_preview).then(|| {
            Finding::new(Severity::Info, "the image of edgeAgent is not applied on Kubernetes")
                .at(image.at.span(), "the agent of the device stays")
                .because("it never replaces itself, so the reported image differs from this one; that is no failure")
        })
    })
}
