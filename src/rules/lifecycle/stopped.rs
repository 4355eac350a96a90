use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Module that is to be stopped
    ///
    /// `status: stopped` works on Kubernetes: the module's Deployment is made and has no pod. What differs is how it
    /// looks: a module without a pod is most likely missing from what IoT Edge reports, where Docker shows it as
    /// `stopped`. Whoever watches the reported properties should not take it for one that failed to start.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "status": "stopped", "settings": { "image": "t:1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing, if the module is not to run.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "status": "running", "settings": { "image": "t:1" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None is needed. That the module is missing from the report follows from the agent's code and was not tried.
    id: "lifecycle-stopped",
    codes: &["LIF-005"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs` (replicas) and `KubernetesRuntimeInfoProvider.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.entry().get("status"), |status| {
        module.is_stopped().then(|| {
            Finding::new(Severity::Info, format!("`{}` is to be stopped", module.id()))
                .at(status.span(), "no pod on Kubernetes")
                .because("it works; the module is then likely to be missing from what IoT Edge reports")
        })
    })
}
