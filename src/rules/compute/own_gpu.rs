use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Module};
use crate::target::Platform;

/// What our image is called, whatever the registry (`module.json`).
const OURS: &str = "edgeshift";

rule! {
    /// # EdgeShift takes a GPU
    ///
    /// EdgeShift watches the GPUs, and computes nothing on them. With a GPU as a resource it holds that GPU for itself,
    /// perhaps the only one, and a module that needs it stays Pending.
    ///
    /// The module is told by the name of its image, `edgeshift` in any registry.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "edgeshift": { "settings": { "image": "example.azurecr.io/edgeshift:0.1.0-amd64", "createOptions": {
    ///     "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The variable that shows GPUs without reserving them; or `none`, if you don't want to know about GPUs.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "edgeshift": { "settings": { "image": "example.azurecr.io/edgeshift:0.1.0-amd64", "createOptions": {
    ///     "Env": ["NVIDIA_VISIBLE_DEVICES=all"] } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: the resource is given back.
    id: "compute-own-gpu",
    codes: &["GPU-018"],
    severity: Severity::Info,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions, Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "ASE-SHARE (a resource is exclusive); NVIDIA/k8s-device-plugin README",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let ours = module.image().is_some_and(|image| image.segments().last() == Some(OURS));
    if !ours {
        return Verdict::NotApplicable;
    }
    Verdict::from(module.limit(GPU).filter(|limit| limit.as_i64() != Some(0)).map(|limit| {
        let fix =
            Fix::ask("give the GPU back; `NVIDIA_VISIBLE_DEVICES` shows it without holding it").remove(limit.path());
        Finding::new(Severity::Info, "EdgeShift takes a GPU from the modules that it watches")
            .at(limit.member_span(), "held, but not used")
            .because("a GPU that is asked for as a resource belongs to one module alone")
            .fix(module.request(GPU).into_iter().fold(fix, |fix, request| fix.remove(request.path())))
    }))
}
