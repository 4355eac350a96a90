use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::ContainerStatus;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that has ended and is to run
    ///
    /// The container of the module is there and does nothing: its program ended without an error, or somebody stopped it. If
    /// the deployment says `stopped` that is right; else nothing works on what the module is for.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "exited", "exit_code": 0 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: start it again, or write down that it is to be stopped.
    id: "status-ended",
    codes: &["STS-005"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Engine],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `State`; migration rules STS-005, LIF-001",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(container) = sighting.container else { return Verdict::NotApplicable };
    let is_to_run = sighting.declared.is_none_or(|module| !module.is_stopped());
    let is_down = !container.is_running() && !container.is_crashing() && !container.ran_out_of_memory();
    let finding = (is_to_run && is_down).then(|| {
        let asked = container.history.stops > 0 || container.exit_code == 137 || container.exit_code == 143;
        let (message, reason) = match container.status {
            ContainerStatus::Exited if asked => ("was stopped", "somebody or something asked it to end"),
            ContainerStatus::Exited => ("ended", "its program came to its end without an error"),
            ContainerStatus::Created => {
                ("was made and never started", "the engine could not start it, or was not asked to")
            }
            ContainerStatus::Paused => ("is paused", "somebody froze it; it does nothing until it is let go on"),
            _ => ("is not running", "the engine is removing it, or failed in it"),
        };
        Finding::new(Severity::Warn, format!("`{}` {message}, and is to run", sighting.id))
            .because(reason)
            .fix(Fix::advice("start it again, or set its `status` to `stopped` in the deployment"))
    });
    finding.into()
}
