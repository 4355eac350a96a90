use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, GPU, Manifest, Module};
use crate::target::Platform;
use crate::text::{At, Span};

/// The variable by which the container runtime hands GPUs to a module.
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";

rule! {
    /// # GPU that Kubernetes still holds
    ///
    /// The Kubernetes of the device takes every GPU that it finds. A VM gets one only when Kubernetes gives it up, so
    /// modules that compute on a GPU move in this order: stop them on Kubernetes, remove the IoT Edge service from the
    /// device, and only then make the VM with its GPU. Removing Kubernetes itself cannot be undone.
    ///
    /// A manifest does not show who holds the GPU; where Kubernetes was never set up, there is nothing to do.
    ///
    /// ## Example
    ///
    /// With `--target ase-vm`:
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": { "HostConfig": { "Runtime": "nvidia" } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The same, in that order. Modules that do without a GPU move at any time:
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "scorer-cpu:1", "createOptions": { "HostConfig": {} } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the steps are taken on the device. Suppress the finding when they are done.
    id: "platform-vm-gpu",
    codes: &["PLT-002"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseVm],
    seed: &[],
    source: "ASE-VM \"Moving GPU modules\"; ASE-MOVE; ASE-GPUVM",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    if manifest.modules().next().is_none() {
        return Verdict::NotApplicable;
    }
    let places: Vec<_> = manifest.modules().filter_map(|module| Some((module.id(), place(module)?))).collect();
    let Some((_, first)) = places.first() else { return Verdict::Judged(Vec::new()) };
    let modules =
        if places.len() == 1 { "1 module wants".to_owned() } else { format!("{} modules want", places.len()) };
    let finding = Finding::new(Severity::Warn, format!("{modules} a GPU, which Kubernetes may still hold"))
        .at(*first, "a GPU of the VM")
        .because("a VM gets a GPU only when Kubernetes has given it up, and modules without one fail")
        .fix(Fix::advice(
            "stop the modules on Kubernetes and remove the IoT Edge service before you make the VM; removing Kubernetes cannot be undone",
        ));
    let more = places.iter().skip(1);
    Verdict::Judged(vec![more.fold(finding, |finding, (id, span)| finding.related(*span, format!("`{id}` too")))])
}

/// Where a module asks for a GPU.
fn place(module: Module<'_>) -> Option<Span> {
    let docker = module.docker_gpus().into_iter().next().map(|request| request.span);
    let kubernetes = || module.limit(GPU).map(At::key_span);
    let env = module.env();
    let visible = || {
        let given = env.iter().rfind(|var| var.name == VISIBLE && !matches!(var.value.trim(), "" | "void" | "none"));
        given.map(EnvVar::name_span)
    };
    docker.or_else(kubernetes).or_else(visible)
}
