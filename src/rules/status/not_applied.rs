use jiff::SignedDuration;

use crate::engine::{AgentSighting, Check, Context, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// How long the agent may take to look at a new deployment. It hears of one at once and looks every 5 s.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

rule! {
    /// # Deployment that the device has not looked at
    ///
    /// IoT Hub has a newer deployment than the one that edgeAgent looked at last: the device is offline, or the agent does
    /// not run. What runs is the deployment before; the portal may go on to say 200 OK. The other way round, the deployment
    /// that was handed over is older than the one on the device, and what is judged here is out of date.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "agent": { "desired_version": 12, "last_version": 11, "code": 200, "since": "2025-12-31T20:00:00Z" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "agent": { "desired_version": 12, "last_version": 12, "code": 200 } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: where to look for the agent, or to hand over the deployment again.
    id: "status-not-applied",
    codes: &["STS-007"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "IoT Edge `doc/reported_states_during_deployment.md`; `$edgeAgent` `lastDesiredVersion`",
    check: Check::Agent(check),
}

fn check(sighting: &AgentSighting<'_>, context: &Context<'_>) -> Verdict {
    let agent = sighting.agent;
    let written = sighting.manifest_version.or(agent.desired_version);
    let (Some(written), Some(applied)) = (written, agent.last_version) else { return Verdict::NotApplicable };
    if written < applied {
        let message = format!("the deployment that was handed over has version {written}, the device has {applied}");
        let finding = Finding::new(Severity::Warn, message)
            .because("what is judged here is older than what runs there")
            .fix(Fix::advice("hand over the deployment and the twin of $edgeAgent again"));
        return Some(finding).into();
    }
    let finding = (written > applied).then(|| {
        // While the versions differ the agent reports nothing new: its last word is as old as the silence, at least.
        let silent = agent.reported_at.or(agent.since).map(|at| context.now.duration_since(at));
        if silent.is_some_and(|silent| silent < PATIENCE) {
            return Finding::new(Severity::Info, format!("the device has not looked at version {written} yet"))
                .because(format!("edgeAgent looked at version {applied} last, a moment ago"));
        }
        Finding::new(
            Severity::Warn,
            format!("the device has version {applied} of the deployment, IoT Hub has {written}"),
        )
        .because("the device is offline or edgeAgent does not run; the portal may say 200 OK all the same")
        .fix(Fix::advice("look whether the device is online, and at the log of edgeAgent"))
    });
    finding.into()
}
