use super::xid::advice_after;
use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Errors of the GPU's memory
    ///
    /// An error that could not be corrected makes results wrong and ends the work that was hit. Without correction (ECC), nobody
    /// notices any error. Errors that are corrected do no harm, but many of them in an hour say that the memory is ageing. Memory inside
    /// the GPU has no spare parts; since Ampere the driver says when its errors are too many.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "ecc": {"enabled": true, "pending": true, "uncorrected": 1}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "ecc": {"enabled": true, "pending": true}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: restart the device, so that the bad memory is taken out of use.
    id: "gpu-ecc",
    codes: &["GPH-005"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVIDIA's page retirement; DCGM's health watch, which fails on any such error",
    check: Check::Gpu(check),
}

/// So many corrected errors an hour are no chance any more, if they do not come all at once. The number is ours.
const MANY: u64 = 10;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(ecc) = gpu.ecc else { return Verdict::NotApplicable };
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let mut findings = Vec::new();
    if ecc.uncorrected > 0 {
        let errors = if ecc.uncorrected == 1 { "error" } else { "errors" };
        let message = format!("{name} {uuid} has {} memory {errors} that could not be corrected", ecc.uncorrected);
        let finding =
            Finding::new(Severity::Silent, message).because("results may be wrong; the work that was hit was ended");
        let advice = "restart the device at the next chance, so that the bad memory is taken out of use; if it returns, have the card replaced";
        // The driver reports such errors as faults too.
        let restarts = [48, 95, 140].iter().filter_map(|fault| gpu.xids.get(fault)).map(|xid| xid.restarts).max();
        let advice = advice_after(restarts.unwrap_or(0)).unwrap_or(advice);
        findings.push(finding.fix(Fix::advice(advice)));
    }
    if ecc.sram_exceeded == Some(true) {
        let message = format!("{name} {uuid} has more errors of its inner memory than the driver's limit");
        let finding = Finding::new(Severity::Warn, message).because("that memory has no spare rows or pages");
        findings.push(finding.fix(Fix::advice("have the card checked, and replaced if diagnostics fail")));
    }
    if let Some(lately) = gpu.corrected.filter(|lately| lately.last_hour > MANY && lately.minutes > 1) {
        let message = format!("{} memory errors of {name} {uuid} were corrected in the last hour", lately.last_hour);
        let finding = Finding::new(Severity::Warn, message).because("no result is wrong, but its memory is ageing");
        findings.push(finding.fix(Fix::advice("schedule diagnostics of the card")));
    }
    if ecc.enabled != ecc.pending {
        let (now, then) = if ecc.enabled { ("on", "off") } else { ("off", "on") };
        let finding = Finding::new(
            Severity::Warn,
            format!("the memory correction of {name} {uuid} is {now} until the next restart"),
        )
        .because(format!("it was switched {then}, which takes effect with the restart"));
        findings.push(finding.fix(Fix::advice("restart the device, or switch it back")));
    } else if !ecc.enabled {
        let finding = Finding::new(Severity::Warn, format!("the memory correction of {name} {uuid} is off"))
            .because("errors of its memory go unnoticed, and results may be wrong");
        findings.push(finding.fix(Fix::advice("switch ECC on with nvidia-smi -e 1 and restart the device")));
    }
    Verdict::Judged(findings)
}
