use jiff::SignedDuration;

use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Manifest;
use crate::target::Platform;

/// How long edgeAgent may take from looking at a deployment to reporting its modules (`migration-rules.md` STS-006).
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

rule! {
    /// # Module that edgeAgent does not report
    ///
    /// The deployment in the twin of `$edgeAgent` says that the module is to run, edgeAgent looked at that deployment more than two minutes
    /// ago, and does not list the module. No pod or container was ever made of it. On Kubernetes the reason is mostly **another module**:
    /// edgeAgent makes the Services of all modules, then the Deployments of all, and stops where the API server refuses one of them.
    ///
    /// The code that edgeAgent reports is no proof of the contrary. It lags, and an agent of 2022-06 or later on Kubernetes says 200 whatever happened.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "$edgeAgent": { "properties.desired": { "$version": 4, "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } },
    ///   "agent": { "last_version": 4, "code": 200, "since": "2025-12-31T23:00:00Z" }, "states": {} }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "$edgeAgent": { "properties.desired": { "$version": 4, "modules": {
    ///     "scorer": { "settings": { "image": "scorer:1" } } } } } },
    ///   "agent": { "last_version": 4, "code": 200, "since": "2025-12-31T23:00:00Z" },
    ///   "states": { "scorer": { "status": "running", "since": "2025-12-31T23:00:00Z" } } }
    /// ```
    ///
    /// Where the Docker engine can be asked, `status-no-container` knows more. A deployment that is not the one in IoT Hub is not judged by this rule.
    ///
    /// ## Fix
    ///
    /// Words only: `edgeshift check` and `edgeshift render` say what Kubernetes refuses.
    id: "status-not-reported",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "migration rules STS-006 and \"one bad module stops the others\"; `ase-runtime.md` §2.7",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    let declared = sighting.declared.filter(|module| !module.is_stopped());
    let (Some(module), Some(agent), None) = (declared, sighting.agent, sighting.engine) else {
        return Verdict::NotApplicable;
    };
    // Another deployment is not expected there: `status-not-applied`.
    let looked_at = agent.last_version.filter(|version| Manifest::version(module.manifest()) == Some(*version));
    let (Some(version), Some(since)) = (looked_at, agent.since) else { return Verdict::NotApplicable };
    let is_due = context.now.duration_since(since) >= PATIENCE;
    let finding = (is_due && sighting.reported.is_none()).then(|| {
        let because = match agent.code {
            Some(500) => "edgeAgent says that applying the deployment failed: one module that is refused keeps others from being made",
            _ => "no pod or container was ever made of it: its objects were refused, or those of another module before them",
        };
        let message = format!("`{}` is in deployment {version}, and edgeAgent does not report it", sighting.id);
        Finding::new(Severity::Block, message)
            .at(module.entry().key_span(), "is to run")
            .because(because)
            .fix(Fix::advice("mend what blocks in this module and in the others, and look at the log of edgeAgent"))
    });
    finding.into()
}
