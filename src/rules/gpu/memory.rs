use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU whose memory is nearly full
    ///
    /// With more than 95 % of the memory in use, the next allocation of a module is likely to fail.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "memory_used_mib": 15000, "memory_total_mib": 15360}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "memory_used_mib": 9000, "memory_total_mib": 15360}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: use smaller models or batches, or fewer modules for each GPU.
    id: "gpu-memory",
    codes: &["GPH-011"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "the limit is ours",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let (Some(used), Some(total)) = (gpu.memory_used_mib, gpu.memory_total_mib) else { return Verdict::NotApplicable };
    let full = used.saturating_mul(100) > total.saturating_mul(95);
    let finding = full.then(|| {
        let finding =
            Finding::new(Severity::Warn, format!("{} {} has {used} of {total} MiB in use", gpu.name, gpu.uuid));
        let finding = finding.because("the next allocation of a module is likely to fail");
        finding.fix(Fix::advice("use smaller models or batches, or fewer modules for each GPU"))
    });
    finding.into()
}
