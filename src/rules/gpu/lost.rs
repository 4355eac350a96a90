use crate::engine::{Check, Context, Verdict};
use crate::evidence::{Gpu, GpuState};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU that is gone
    ///
    /// The GPU fell off the bus (Xid 79) or waits for a reset. What computed on it has ended, and nothing starts on it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "state": "lost", "xids": {"79": {"count": 1, "seconds_ago": 60}}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4"}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: restart the device; a GPU that stays lost needs a cold power cycle.
    id: "gpu-lost",
    codes: &["GPH-002"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVIDIA's Xid catalogue, 79; NVML's error codes 15, 16 and 28",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let (what, why, advice) = match gpu.state {
        GpuState::Up => return Verdict::Judged(Vec::new()),
        GpuState::Lost => (
            "is gone from the bus",
            "what computed on it has ended, and nothing starts on it",
            // Not for the first time, where the driver said so: Xid 79.
            match gpu.xids.get(&79).map_or(0, |xid| xid.restarts) {
                0 => {
                    "restart the device, with a cold power cycle if it stays lost; then check seating, cooling and power"
                }
                1 => "check its seating, cooling and power, then restart the device with a cold power cycle",
                _ => "have the card replaced: it is lost again after every restart",
            },
        ),
        GpuState::ResetRequired => {
            ("waits for a reset", "after a fault it takes no work until it is reset", "restart the device")
        }
    };
    let finding = Finding::new(Severity::Block, format!("{} {} {what}", gpu.name, gpu.uuid)).because(why);
    Verdict::Judged(vec![finding.fix(Fix::advice(advice))])
}
