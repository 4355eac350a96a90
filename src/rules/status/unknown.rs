use jiff::SignedDuration;

use crate::engine::{AgentSighting, Check, Context, Verdict};
use crate::evidence::RuntimeStatus;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// How long a device may take to come up again.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

rule! {
    /// # Device whose modules are all unknown
    ///
    /// IoT Hub shows every module as `unknown`. While the device starts that passes; where it stays so over a restart of the
    /// device, it is a known fault of Azure Stack Edge, and only removing the IoT Edge service and deploying again helps.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "taken_at": "2026-01-01T01:00:00Z", "agent": { "last_version": 3 },
    ///   "states": { "scorer": { "status": "unknown", "since": "2026-01-01T00:00:00Z" },
    ///     "camera": { "status": "unknown", "since": "2026-01-01T00:00:00Z" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "taken_at": "2026-01-01T01:00:00Z", "agent": { "last_version": 3 },
    ///   "states": { "scorer": { "status": "unknown", "since": "2026-01-01T00:00:00Z" },
    ///     "camera": { "status": "running", "since": "2026-01-01T00:00:00Z" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: restart, then remove the service and deploy again.
    id: "status-unknown",
    codes: &["STS-009"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "Azure Stack Edge, troubleshooting of IoT Edge modules",
    check: Check::Agent(check),
}

fn check(sighting: &AgentSighting<'_>, context: &Context<'_>) -> Verdict {
    let states: Vec<_> = sighting.modules.into_iter().flat_map(|modules| modules.values()).collect();
    if states.is_empty() {
        return Verdict::NotApplicable;
    }
    let since = states.iter().map(|state| state.since).max();
    let all_unknown = states.iter().all(|state| state.status == RuntimeStatus::Unknown);
    let finding = since.filter(|_| all_unknown).map(|since| {
        let lasts = context.now.duration_since(since);
        if lasts < PATIENCE {
            return Finding::new(Severity::Warn, "IoT Hub shows every module as unknown")
                .because("while the device or IoT Edge starts that passes within minutes")
                .fix(Fix::advice("wait; if it lasts, restart the device"));
        }
        Finding::new(
            Severity::Block,
            format!("IoT Hub has shown every module as unknown for {} minutes", lasts.as_mins()),
        )
        .because("nothing manages the modules; where it stays so over a restart, it is a known fault of the device")
        .fix(Fix::advice("restart the device; if that does not help, remove the IoT Edge service and deploy again"))
    });
    finding.into()
}
