use crate::engine::{Check, Context, Verdict};
use crate::evidence::{CallError, Gpu, GpuState};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU with a fault of power or interrupts
    ///
    /// The driver refuses calls because the card's power cable is not connected or its interrupts do not arrive, or the card does not
    /// say any more what it draws.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "errors": {"power": "other"}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "power_w": 27.5}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: check cable and seat of the card.
    id: "gpu-power",
    codes: &["GPH-017"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's error codes 8 and 11; DCGM's health watch, POWER_UNREADABLE",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    // What is gone answers nothing; that is said once.
    if gpu.state != GpuState::Up {
        return Verdict::NotApplicable;
    }
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let says = |what: CallError| gpu.errors.values().any(|error| *error == what);
    let (severity, message, why, advice) = if says(CallError::Power) {
        (
            Severity::Block,
            format!("{name} {uuid} has too little power"),
            "the driver says that a power cable is not connected",
            "check the card's power cable and the power supplies",
        )
    } else if says(CallError::Interrupt) {
        (
            Severity::Block,
            format!("the interrupts of {name} {uuid} do not arrive"),
            "the driver cannot talk to the card in time",
            "restart the device; if it returns, check the seat of the card",
        )
    } else if gpu.errors.contains_key("power") || gpu.errors.contains_key("energy") {
        (
            Severity::Warn,
            format!("{name} {uuid} does not say what power it draws"),
            "the reading fails, though the card has one",
            "restart the device; if it returns, have the card looked at",
        )
    } else {
        return Verdict::Judged(Vec::new());
    };
    Verdict::Judged(vec![Finding::new(severity, message).because(why).fix(Fix::advice(advice))])
}
