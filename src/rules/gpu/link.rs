use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Link to the GPU that is worse than it was
    ///
    /// A card that sits loosely, or a riser that ages, talks over fewer lanes or more slowly, or has to say things again. Idle GPUs
    /// lower their link by themselves and some slots are narrow, so the link is compared with the best that was seen of it under
    /// load; three loaded looks in a row must be below. That best one is kept across restarts where EdgeShift has a folder for it
    /// (`--state`), else it is learnt anew at each start.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "pcie": {"generation": 3, "width": 8, "max_generation": 3, "max_width": 16}, "pcie_baseline": {"generation": 3, "width": 16, "looks_below": 3, "is_kept": true}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "pcie": {"generation": 1, "width": 8, "max_generation": 3, "max_width": 16}, "pcie_baseline": {"generation": 3, "width": 8, "looks_below": 0, "is_kept": true}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: have the card and its riser seated anew.
    id: "gpu-link",
    codes: &["GPH-013"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's link and replay counter; the rates are those of DCGM's health watch",
    check: Check::Gpu(check),
}

/// How many loaded looks in a row must be below.
const LOOKS: u32 = 3;
/// Replays a minute for each lane that DCGM takes for normal, for generations 1 to 6.
const REPLAYS: [f64; 6] = [0.15, 0.3, 0.48, 0.96, 1.92, 3.84];
/// So many times more is no noise any more; the factor is ours.
const MUCH: f64 = 10.0;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(link) = gpu.pcie else { return Verdict::NotApplicable };
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let mut findings = Vec::new();
    if let Some(best) = gpu.pcie_baseline.filter(|best| best.looks_below >= LOOKS) {
        let severity = if link.width * 2 < best.width { Severity::Block } else { Severity::Warn };
        let message = format!(
            "the link of {name} {uuid} is generation {} with {} lanes, and was generation {} with {}",
            link.generation, link.width, best.generation, best.width
        );
        let finding = Finding::new(severity, message).because("under load, so that it is no power saving");
        findings.push(finding.fix(Fix::advice("have the card and its riser seated anew at the next chance")));
    }
    if let Some(rate) = gpu.replays_per_minute {
        let lanes = f64::from(link.max_width.max(1));
        let of_lane = REPLAYS[usize::try_from(link.max_generation).unwrap_or(1).clamp(1, REPLAYS.len()) - 1];
        let most = (of_lane * lanes).ceil();
        if rate > most {
            let severity = if rate > most * MUCH { Severity::Block } else { Severity::Warn };
            let message = format!("the link of {name} {uuid} repeats {rate:.0} packets a minute");
            let finding = Finding::new(severity, message).because(format!("up to {most:.0} are normal for it"));
            findings.push(finding.fix(Fix::advice("have the card and its riser seated anew at the next chance")));
        }
    }
    Verdict::Judged(findings)
}
