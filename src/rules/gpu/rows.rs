use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Memory rows replaced
    ///
    /// GPUs since Ampere (the A2) replace bad memory rows by spare ones when they are reset. Where that failed, or no spare rows are
    /// left, the card is to be replaced. Rows that were replaced because they needed correction again and again are a sign of age.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA A2", "remapped": {"uncorrected": 1, "pending": true}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA A2", "remapped": {"uncorrected": 1}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: restart the device when it is idle, or have the card replaced.
    id: "gpu-rows",
    codes: &["GPH-007"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVIDIA's row remapping; DCGM's limits",
    check: Check::Gpu(check),
}

/// How many rows for errors that could not be corrected are too many: the limit of DCGM.
const MOST: u64 = 512;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(rows) = gpu.remapped else { return Verdict::NotApplicable };
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let finding = if rows.failed || rows.uncorrected >= MOST {
        Finding::new(Severity::Block, format!("the memory of {name} {uuid} can no longer be repaired"))
            .because(format!("{} rows were replaced, and no spare one is left where it is needed", rows.uncorrected))
            .fix(Fix::advice("have the card replaced"))
    } else if rows.pending {
        Finding::new(Severity::Warn, format!("{name} {uuid} has a bad memory row that is still in use"))
            .because("it is replaced when the GPU is reset; until then the driver keeps work away from it")
            .fix(Fix::advice("restart the device when it is idle"))
    } else if rows.corrected > 0 {
        let noun = if rows.corrected == 1 { "row" } else { "rows" };
        Finding::new(
            Severity::Warn,
            format!("{} memory {noun} of {name} {uuid} needed correction too often", rows.corrected),
        )
        .because("they were replaced, so nothing is wrong now; its memory is ageing")
        .fix(Fix::advice("schedule diagnostics of the card"))
    } else {
        return Verdict::Judged(Vec::new());
    };
    Verdict::Judged(vec![finding])
}
