use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Module that is to run once
    ///
    /// Kubernetes restarts a module whenever it ends, whatever `restartPolicy` says. A module that does its work and
    /// ends well is started again and again, with growing pauses; IoT Hub shows it as `backoff`, like one that crashes.
    ///
    /// The device's own sample sets `never`, and its module never ends: it sleeps in a loop. `on-failure` and
    /// `on-unhealthy` are not implemented on Docker either.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "importer": { "restartPolicy": "never", "settings": { "image": "i:1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "importer": { "restartPolicy": "always", "settings": { "image": "i:1" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the program must wait when its work is done, or be a Kubernetes Job in place of a module.
    id: "lifecycle-restart-policy",
    codes: &["LIF-001"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesModule.cs`; IE-LIM; ASE-IOTSHARE",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.entry().get_ignoring_case("restartPolicy"), |at| {
        let policy = at.as_str().unwrap_or_default();
        let dropped = ["never", "on-failure", "on-unhealthy"].iter().any(|word| policy.eq_ignore_ascii_case(word));
        dropped.then(|| {
            Finding::new(Severity::Warn, format!("restart policy `{policy}` has no effect on Kubernetes"))
                .at(at.span(), "the module is always restarted")
                .because("one that ends when its work is done runs again and again, and IoT Hub shows it as `backoff`")
                .fix(Fix::advice(
                    "let the program wait when its work is done, or run it as a Kubernetes Job by `kubectl`",
                ))
        })
    })
}
