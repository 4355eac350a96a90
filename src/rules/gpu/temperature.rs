use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU that is too hot
    ///
    /// The board names its own limits: up to which temperature it is to run, where it slows itself down, and where it switches itself
    /// off.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "temperature_c": 94, "temperature_max_c": 85, "temperature_slowdown_c": 93, "temperature_shutdown_c": 96}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "temperature_c": 71, "temperature_max_c": 85, "temperature_slowdown_c": 93, "temperature_shutdown_c": 96}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: see to the cooling.
    id: "gpu-temperature",
    codes: &["GPH-009"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's temperature thresholds, read from the GPU itself",
    check: Check::Gpu(check),
}

/// For how long a GPU may be as hot as it may be at most, s.
const LONG: u64 = 5 * 60;
/// How near to slowing down is too near, °C.
const NEAR: i64 = 3;
/// Where boards that count by a margin slow themselves down, °C, as an established monitor has it.
const SLOWDOWN_MARGIN: i64 = -2;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    let Some(now) = gpu.temperature_c else { return Verdict::NotApplicable };
    let limits = [gpu.temperature_shutdown_c.map(|limit| limit - 1), gpu.temperature_slowdown_c, gpu.temperature_max_c];
    if limits.iter().all(Option::is_none) && gpu.temperature_margin_c.is_none() {
        return Verdict::NotApplicable;
    }
    let is_above = |limit: Option<i64>| limit.is_some_and(|limit| now >= limit);
    let [shutdown, slowdown, most] = limits;
    let near = slowdown.map(|slowdown| slowdown - NEAR);
    let margin = gpu.temperature_margin_c;
    let is_long = gpu.hot_secs.is_some_and(|secs| secs >= LONG);
    let (severity, what) = if is_above(shutdown) {
        (Severity::Block, "is about to switch itself off")
    } else if is_above(slowdown) || margin.is_some_and(|margin| margin < SLOWDOWN_MARGIN) {
        (Severity::Block, "slows itself down")
    } else if is_above(near) || margin.is_some_and(|margin| margin <= 0) {
        (Severity::Warn, "is about to slow itself down")
    } else if is_above(most) && is_long {
        (Severity::Warn, "has been hotter than it is to be for minutes")
    } else if is_above(most) {
        (Severity::Info, "is hotter than it is to be for long")
    } else {
        return Verdict::Judged(Vec::new());
    };
    let finding = Finding::new(severity, format!("{} {} {what} at {now} °C", gpu.name, gpu.uuid))
        .because("the board names this limit itself");
    Verdict::Judged(vec![
        finding.fix(Fix::advice("clean filters and fans, and bring the temperature of the room down")),
    ])
}
