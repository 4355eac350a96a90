use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::At;

/// Docker's limits: a module that has one wanted limits, and rule RES-001 speaks of it.
const DOCKER_LIMITS: [&str; 5] = ["Memory", "MemoryReservation", "NanoCpus", "CpuQuota", "CpuPeriod"];

rule! {
    /// # Module without limits
    ///
    /// A module without limits is allowed. Kubernetes then puts it in the class `BestEffort`: it gets what is left,
    /// and is the first to go when memory runs short. Limits are good practice, because the node has other work to do;
    /// where `requests` are not written, the limits also count as the least that the module needs.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "s:1", "createOptions": {} } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "s:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "memory": "128Mi", "cpu": "500m" } } } } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: how much a module needs is measured, not guessed. edgeAgent has limits of its own.
    id: "resources-no-limits",
    codes: &["RES-002"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::CreateOptions, Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits", "resources.good-practice"],
    source: "seed, Memory and CPU; K8S-BP resources; ASE-PS sample pod",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() && module.id() == "edgeAgent" {
        return Verdict::NotApplicable;
    }
    let limits = module.option(&["k8s-experimental", "resources", "limits"]);
    let limited = limits.is_some_and(|limits| limits.members().len() > 0)
        || DOCKER_LIMITS.iter().any(|name| {
            let limit = module.option(&["HostConfig", name]).and_then(At::as_text).unwrap_or_default().trim();
            !["", "0", "-1"].contains(&limit)
        });
    Verdict::from((!limited).then(|| {
        Finding::new(Severity::Info, format!("`{}` has no limits", module.id()))
            .at(module.entry().key_span(), "may take all memory and processor time of the node")
            .because("Kubernetes stops such modules first when memory runs short")
            .fix(Fix::advice(
                "measure it under load, then set `memory` and `cpu` in `k8s-experimental.resources.limits`",
            ))
    }))
}
