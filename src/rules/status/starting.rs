use jiff::SignedDuration;

use crate::engine::{Check, Context, Verdict};
use crate::evidence::ModuleState;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// How long a start may take before it is worth a warning; the catalogue suggests 15 minutes (STS-001).
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

rule! {
    /// # Module shown as `backoff` that is only starting
    ///
    /// While the pod of a module is in `ContainerCreating`, IoT Hub shows the module as `backoff`, although it has
    /// only just been started and nothing has failed. Most often a large image is coming over a slow link. That is
    /// worth knowing, not an alarm; after 15 minutes it is a warning, since a mount that cannot be made looks the same.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "taken_at": "2026-01-01T00:00:30Z", "states": { "scorer": { "status": "backoff", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module in Back-off reason: ContainerCreating" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "taken_at": "2026-01-01T00:00:30Z", "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Started at 01/01/2026 00:00:00" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None. Wait; if it lasts, look for a bind of a file (STO-003) and for a share that does not exist (STO-006).
    id: "status-starting",
    codes: &["STS-001"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s],
    seed: &["status.backoff"],
    source: "seed, Module status; agent `PodExtensions.cs`",
    check: Check::State(check),
}

fn check(id: &str, state: &ModuleState, context: &Context<'_>) -> Verdict {
    let finding = state.is_starting().then(|| {
        let lasts = context.now.duration_since(state.since);
        if lasts < PATIENCE {
            Finding::new(Severity::Info, format!("`{id}` is starting, though IoT Hub says backoff"))
                .because("its container is being created: the image is pulled and volumes are mounted")
        } else {
            Finding::new(Severity::Warn, format!("`{id}` has been starting for {} minutes", lasts.as_mins()))
                .because("a large image takes that long on a slow link; so does a mount that can never be made")
                .fix(Fix::advice("look for binds of files and for shares that do not exist on this device"))
        }
    });
    finding.into()
}
