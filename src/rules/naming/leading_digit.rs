use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Service, label_fault, object_name};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Module name that starts with a digit
    ///
    /// A container may be called `2d-filter` on Kubernetes, a Service may not: its name must start with a letter. So:
    ///
    /// - With ports, Kubernetes refuses the module's Service, and the agent then makes or updates **no module of the
    ///   deployment**.
    /// - Without ports the module runs, but the agent looks for a container whose name has no leading digits, does not find
    ///   it, and reports the module as **failed for ever**.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "2d-filter": { "settings": { "image": "filter:1", "createOptions": { "ExposedPorts": { "80/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "filter-2d": { "settings": { "image": "filter:1", "createOptions": { "ExposedPorts": { "80/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: rename the module. Its identity, its twin and the routes that name it change with it.
    id: "naming-leading-digit",
    codes: &["NAM-004", "NAM-005"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["naming.kubernetes-names"],
    source: "K8S-VAL ValidateServiceName, tried on Kubernetes 1.20; agent `PodExtensions.cs`, `KubeUtils.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() || has_placeholder(module.id()) {
        return Verdict::NotApplicable;
    }
    let name = object_name(module.id());
    let digit = name.starts_with(|c: char| c.is_ascii_digit()) && label_fault(&name).is_none();
    Verdict::from(digit.then(|| {
        let (severity, reason) = if Service::of(module).ports.is_empty() {
            (
                Severity::Silent,
                "the module runs, but IoT Hub shows it as failed for ever: the agent does not find its container",
            )
        } else {
            (
                Severity::Block,
                "Kubernetes refuses its Service, and the agent then makes or updates no module of the deployment",
            )
        };
        Finding::new(severity, format!("`{}` starts with a digit on Kubernetes", module.id()))
            .at(module.entry().key_span(), format!("is called `{name}` there"))
            .because(reason)
            .fix(Fix::advice(
                "rename the module so that it starts with a letter, and the routes and calls that name it",
            ))
    }))
}
