use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU whose driver asks for a reset
    ///
    /// Newer drivers say themselves what a GPU needs after a fault: a reset, a restart, or to be emptied first.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA A2", "recovery_action": 1}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA A2", "recovery_action": 0}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: do what the driver asks for.
    id: "gpu-recovery",
    codes: &["GPH-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "nvml.h 13.4, `NVML_FI_DEV_GET_GPU_RECOVERY_ACTION`",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let (severity, action, advice) = match gpu.recovery_action {
        None => return Verdict::NotApplicable,
        Some(0) => return Verdict::Judged(Vec::new()),
        Some(1 | 6) => (Severity::Block, "a reset", "restart the device, which resets the GPU"),
        Some(2 | 7) => (Severity::Block, "a restart", "restart the device"),
        Some(3) => {
            (Severity::Warn, "to be emptied", "let its work end and give it none until the device was restarted")
        }
        Some(4) => (Severity::Block, "to be emptied and reset", "let its work end, then restart the device"),
        Some(_) => (Severity::Warn, "something that this version does not know", "look at nvidia-smi -q"),
    };
    let finding = Finding::new(severity, format!("the driver of {} {} asks for {action}", gpu.name, gpu.uuid))
        .because("after a fault its work cannot be trusted until that is done");
    Verdict::Judged(vec![finding.fix(Fix::advice(advice))])
}
