use jiff::SignedDuration;

use crate::engine::{Check, Context, Verdict};
use crate::evidence::ModuleState;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// A pod that has only just been made has no container status either, for a moment (STS-003).
const JUST_MADE: SignedDuration = SignedDuration::from_secs(30);

rule! {
    /// # Module that no node can take
    ///
    /// A module that is `failed` with an empty Kubernetes reason did not crash: its pod has no container yet, because
    /// no node has what it asks for (a GPU or FPGA, CPU, memory) or its volume claim is not bound. A pod that has only
    /// just been made looks the same for a moment, so for 30 seconds this is no alarm.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "taken_at": "2026-01-01T00:05:00Z", "states": { "scorer": { "status": "failed", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module Failed with container status Unknown More Info: K8s reason:  with message: " } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "taken_at": "2026-01-01T00:05:00Z", "states": { "scorer": { "status": "failed", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module Failed reason: Error", "exit_code": 1 } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: ask for less, or for what the device has. The rules of the families `compute`,
    /// `resources` and `storage` say which.
    id: "status-unscheduled",
    codes: &["STS-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `PodExtensions.cs`; observed on Kubernetes 1.20 for resources that no node has",
    check: Check::State(check),
}

fn check(id: &str, state: &ModuleState, context: &Context<'_>) -> Verdict {
    let finding = state.is_unscheduled().then(|| {
        if context.now.duration_since(state.since) < JUST_MADE {
            return Finding::new(Severity::Info, format!("`{id}` has no container yet, though IoT Hub says failed"))
                .because("its pod has only just been made, or no node has what it asks for; it did not crash");
        }
        Finding::new(Severity::Block, format!("`{id}` was never scheduled, though IoT Hub says failed"))
            .because("no node has what the module asks for, or a volume claim is not bound; it did not crash")
            .fix(Fix::advice("compare the module's resources and volumes with what the device has"))
    });
    finding.into()
}
