use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Image from the device's own registry
    ///
    /// The device can run a container registry, `ecr.<name of the device>:31001`. Modules of IoT Edge can't use it:
    /// with the software 2101 that is a known issue, and so is its use behind a web proxy. Whether a later release
    /// lifts it was not found in the release notes that we know; try it before you rely on it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "ecr.edge-gpu.example.com:31001/scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A registry outside of the device, such as Azure's.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "example.azurecr.io/scorer:1.0" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the image must be pushed elsewhere.
    id: "image-edge-registry",
    codes: &["IMG-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "ASE-RN2101 #3 and #4",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.image(), |image| {
        let (host, port) = image.registry()?.rsplit_once(':')?;
        let is_own = port == "31001" && host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("ecr"));
        is_own.then(|| {
            Finding::new(Severity::Block, "the image is in the registry of the device")
                .at(image.registry_span(), "the Edge container registry")
                .because("modules of IoT Edge can't use it, so the image is not pulled and the module never starts")
                .fix(Fix::advice("push the image to a registry outside of the device, and name it from there"))
        })
    })
}
