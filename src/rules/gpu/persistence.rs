use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU that is initialised anew each time
    ///
    /// With persistence mode off the driver lets the GPU go when the last program ends, and the next one waits a second or more until
    /// it is initialised again. While EdgeShift watches the GPU it stays initialised.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "persistence": false}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "persistence": true}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: switch persistence mode on, on the host.
    id: "gpu-persistence",
    codes: &["GPH-010"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's persistence mode; on Azure Stack Edge it is on",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    match gpu.persistence {
        None => Verdict::NotApplicable,
        Some(true) => Verdict::Judged(Vec::new()),
        Some(false) => {
            let finding = Finding::new(Severity::Info, format!("persistence mode of {} {} is off", gpu.name, gpu.uuid))
                .because("each module that starts waits until the GPU is initialised; counters start anew");
            Verdict::Judged(vec![finding.fix(Fix::advice("run the NVIDIA persistence daemon on the host"))])
        }
    }
}
