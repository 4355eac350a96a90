use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Card whose own storage is corrupt
    ///
    /// The card keeps its serial number, its error counters and its retired pages in a memory of its own (`InfoROM`). Where that does
    /// not read any more, what the card says of its health cannot be trusted.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "inforom_is_well": false}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "inforom_is_well": true}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: have the card replaced.
    id: "gpu-inforom",
    codes: &["GPH-015"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's validation of the InfoROM",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(is_well) = gpu.inforom_is_well else { return Verdict::NotApplicable };
    let finding = (!is_well).then(|| {
        Finding::new(Severity::Warn, format!("what {} {} stores of itself is corrupt", gpu.name, gpu.uuid))
            .because("its serial number and its counters of errors cannot be trusted")
            .fix(Fix::advice("ask for the card to be replaced"))
    });
    finding.into()
}
