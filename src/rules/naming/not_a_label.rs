use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{label_fault, object_name};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Module name that Kubernetes refuses
    ///
    /// The agent takes over a module's id as a Kubernetes name, in lower case and without most special characters, and does
    /// not check the result. The container of the module and a label of its pod must be DNS labels: at most 63 characters,
    /// letters, digits and `-`, with a letter or digit at both ends. IoT Hub allows more: longer ids, dots, hyphens at the
    /// ends. Kubernetes refuses such a module, and the agent then stops in the middle of the deployment.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "Contoso.Camera": { "settings": { "image": "camera:1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "contoso-camera": { "settings": { "image": "camera:1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: rename the module. Its identity, its twin and the routes that name it change with it.
    id: "naming-not-a-label",
    codes: &["NAM-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["naming.kubernetes-names"],
    source: "agent `KubeUtils.cs`; K8S-VAL; names tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() || has_placeholder(module.id()) || module.is_part() {
        return Verdict::NotApplicable;
    }
    let name = object_name(module.id());
    let finding = label_fault(&name).map(|fault| {
        let what =
            if name == module.id() || name.is_empty() { String::new() } else { format!(" is `{name}` there and") };
        Finding::new(Severity::Block, format!("`{}` is no name for Kubernetes: it{what} {fault}", module.id()))
            .at(module.entry().key_span(), "expected at most 63 letters, digits and hyphens, no hyphen at the ends")
            .because("Kubernetes refuses the module, and the agent stops before it has made what comes after it")
            .fix(Fix::advice("rename the module, and the routes and calls that name it"))
    });
    Verdict::from(finding)
}
