use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Link between GPUs that fails
    ///
    /// Packets between GPUs that arrive spoilt are sent again; a link that had to start again, or to repeat whole packets, is about to
    /// fail. A link has lanes; where fewer are active than EdgeShift ever saw, one failed. Azure Stack Edge has no such links; other machines have.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA H100", "nvlink": {"crc_errors": 3}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "NVIDIA H100", "nvlink": {"crc_errors": 0}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: check the bridge between the GPUs.
    id: "gpu-nvlink",
    codes: &["GPH-016"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's NVLink counters; the limits are those of DCGM's health watch",
    check: Check::Gpu(check),
}

/// Spoilt packets a second that are too many, as DCGM has it.
const MOST: f64 = 100.0;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(link) = gpu.nvlink else { return Verdict::NotApplicable };
    let flood = link.crc_per_minute.is_some_and(|rate| rate >= MOST * 60.0);
    let lost = link.most_active.zip(link.active).filter(|(most, active)| active < most);
    let (severity, what) = if let Some((most, active)) = lost {
        (Severity::Block, format!("is down to {active} of the {most} lanes that it had"))
    } else if link.replays > 0 || link.recoveries > 0 {
        (Severity::Block, format!("repeated {} packets and started again {} times", link.replays, link.recoveries))
    } else if flood {
        (Severity::Block, format!("has more than {MOST:.0} spoilt packets a second"))
    } else if link.crc_errors > 0 {
        (Severity::Warn, format!("had {} spoilt packets", link.crc_errors))
    } else {
        return Verdict::Judged(Vec::new());
    };
    let finding =
        Finding::new(severity, format!("the link between {} {} and its neighbour {what}", gpu.name, gpu.uuid))
            .because("since the driver was loaded; work that spans GPUs gets slow, and then fails");
    Verdict::Judged(vec![finding.fix(Fix::advice("check the bridge between the GPUs, then restart the device"))])
}
