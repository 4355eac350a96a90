use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that was restarted lately
    ///
    /// The module runs, and was stopped and started again within the last ten minutes: somebody restarted it, or a new
    /// deployment did. It is well; messages that it held in memory are gone.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "running", "started_at": "2026-01-01T00:00:00Z",
    ///   "history": { "window_secs": 600, "starts": 1, "stops": 1 } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running", "history": { "window_secs": 600, "starts": 1 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None needed.
    id: "status-restarted",
    codes: &[],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::Engine],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker events `start`, `kill`, `die`",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(container) = sighting.container else { return Verdict::NotApplicable };
    let history = &container.history;
    let is_restarted = history.starts > 0 && history.stops + history.deaths > 0;
    let is_well = container.is_running() && !container.is_crashing() && !container.ran_out_of_memory();
    let finding = (is_restarted && is_well).then(|| {
        let why = match history.last_death {
            Some(code) => format!("it ended by itself with exit code {code} before"),
            None => "it was asked to end before".to_owned(),
        };
        let at = container.started_at.map(|at| format!(" at {at}")).unwrap_or_default();
        Finding::new(Severity::Info, format!("`{}` was restarted{at}", sighting.id))
            .because(why)
            .fix(Fix::advice("nothing, if it was meant"))
    });
    finding.into()
}
