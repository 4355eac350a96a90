use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Manifest, has_placeholder};
use crate::target::Platform;
use crate::text::At;

/// The order of a module that has none: last (IoT Edge deployment schema).
const LAST: i64 = u32::MAX as i64;

rule! {
    /// # Start-up order that is not kept
    ///
    /// On Docker modules with a smaller `startupOrder` start first. The agent on Kubernetes ignores it and publishes
    /// all modules at once: a module may run before edgeHub, or before the database that it asks first, and one that
    /// gives up then restarts with growing pauses.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "store": { "startupOrder": 1, "settings": { "image": "store:1" } },
    ///   "scorer": { "startupOrder": 2, "settings": { "image": "scorer:1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Modules that wait for what they need and try again. An order that is the same for all is none.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "store": { "startupOrder": 1, "settings": { "image": "store:1" } },
    ///   "scorer": { "startupOrder": 1, "settings": { "image": "scorer:1" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what has to wait is in the program of the module.
    id: "lifecycle-startup-order",
    codes: &["LIF-002"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesModule.cs` and `KubernetesPlanner.cs`",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    // edgeAgent is always first, and says so in many deployments.
    let modules: Vec<_> = manifest.modules().filter(|module| module.id() != "edgeAgent").collect();
    let written: Vec<At<'_>> = modules.iter().filter_map(|module| module.entry().get("startupOrder")).collect();
    let [first, others @ ..] = written.as_slice() else { return Verdict::NotApplicable };
    let hidden = written.iter().any(|at| at.as_text().is_some_and(has_placeholder));
    let order = |at: Option<At<'_>>| at.and_then(At::as_i64).unwrap_or(LAST);
    let all = order(Some(*first));
    if !hidden && modules.iter().all(|module| order(module.entry().get("startupOrder")) == all) {
        return Verdict::Judged(Vec::new());
    }
    let finding = Finding::new(Severity::Warn, "`startupOrder` has no effect on Kubernetes")
        .at(first.member_span(), "all modules start at once")
        .because("a module may run before what it needs, and one that gives up then restarts with growing pauses")
        .fix(Fix::advice("let each module wait for what it needs and try again"));
    Verdict::Judged(vec![others.iter().fold(finding, |finding, at| finding.related(at.member_span(), "nor has this"))])
}
