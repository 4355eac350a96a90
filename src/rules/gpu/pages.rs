use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Memory pages taken out of use
    ///
    /// GPUs before Ampere (the T4) take bad memory pages out of use when the driver is loaded again. Only so many can be taken; a
    /// card that comes near that is to be replaced.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "retired": {"corrected": 0, "uncorrected": 1, "pending": true}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "retired": {"corrected": 0, "uncorrected": 1, "pending": false}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: plan a restart, or have the card replaced.
    id: "gpu-pages",
    codes: &["GPH-006"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVIDIA's dynamic page retirement; DCGM's limits",
    check: Check::Gpu(check),
}

/// How many pages can be retired, less one: the limit of DCGM.
const MOST: u64 = 63;
/// So many for errors that could not be corrected are well, if they do not become more within a week: DCGM too.
const SOME: u64 = 15;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(pages) = gpu.retired else { return Verdict::NotApplicable };
    let total = pages.corrected.saturating_add(pages.uncorrected);
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let finding = if total >= MOST {
        Finding::new(Severity::Block, format!("{name} {uuid} has {total} memory pages out of use, as many as it can"))
            .because("the next bad page cannot be replaced")
            .fix(Fix::advice("have the card replaced"))
    } else if let Some(new) = gpu.retired_last_week.filter(|new| pages.uncorrected > SOME && *new > 1) {
        let so_far = pages.uncorrected;
        Finding::new(
            Severity::Block,
            format!("{name} {uuid} loses memory pages: {new} in the last 7 days, {so_far} in all"),
        )
        .because("each was an error that could not be corrected, and they become more")
        .fix(Fix::advice("have the card replaced"))
    } else if pages.pending {
        Finding::new(Severity::Warn, format!("{name} {uuid} has a bad memory page that is still in use"))
            .because("it is taken out of use when the driver is loaded again")
            .fix(Fix::advice("plan a restart of the device"))
    } else {
        return Verdict::Judged(Vec::new());
    };
    Verdict::Judged(vec![finding])
}
