use crate::engine::{Check, Context, Verdict};
use crate::evidence::{ClockEvent, Gpu};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # GPU that is slowed down
    ///
    /// A GPU that gets too hot, or whose power supply asks for it, runs slower: modules take longer, and nothing is red. Only what is
    /// seen in six of the last ten minutes counts, or what the driver itself counts as held down by heat, except for the signal of a power supply, which is never normal. That a T4 sits at its
    /// 70 W under load is no fault.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "clock_event_minutes": {"hardware-thermal": 7}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "clock_events": 4, "clock_event_minutes": {"hardware-thermal": 2}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: see to cooling or power.
    id: "gpu-throttle",
    codes: &["GPH-008"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's clock event reasons; the six of ten minutes are those of an established monitor",
    check: Check::Gpu(check),
}

/// In how many of the last ten minutes a reason must have been seen.
const OFTEN: u8 = 6;
/// For how long the board must have slowed itself down without a break to be no warning any more, s. The half hour is ours.
const LONG: u64 = 30 * 60;

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    if gpu.clock_events.is_none() && gpu.clock_event_minutes.is_empty() {
        return Verdict::NotApplicable;
    }
    let minutes = |event: ClockEvent| gpu.clock_event_minutes.get(&event).copied().unwrap_or(0);
    let (name, uuid) = (&gpu.name, &gpu.uuid);
    let mut findings = Vec::new();
    let brake = minutes(ClockEvent::PowerBrake);
    if brake > 0 {
        let severity = if brake >= OFTEN { Severity::Block } else { Severity::Warn };
        let message = format!("{name} {uuid} is slowed down from outside, in {brake} of the last 10 minutes");
        let finding = Finding::new(severity, message).because("a power supply or the baseboard pulls the power brake");
        findings.push(finding.fix(Fix::advice("check the power supplies and their redundancy")));
    }
    let hot = [ClockEvent::HardwareThermal, ClockEvent::SoftwareThermal].map(minutes).into_iter().max().unwrap_or(0);
    let long = |event: ClockEvent| gpu.slowed_secs.get(&event).is_some_and(|secs| *secs >= LONG);
    // Heat and the power brake both show as a slowdown too.
    let slow = minutes(ClockEvent::HardwareSlowdown);
    if hot.max(if brake > 0 { 0 } else { slow }) >= OFTEN {
        let message = format!("{name} {uuid} is too hot and slowed down, in {} of the last 10 minutes", hot.max(slow));
        let board = long(ClockEvent::HardwareThermal) || (brake == 0 && long(ClockEvent::HardwareSlowdown));
        let severity = if board { Severity::Block } else { Severity::Warn };
        let why = if board {
            "for half an hour without a break: modules that use it take much longer, and the card ages"
        } else {
            "modules that use it take longer than they would"
        };
        let finding = Finding::new(severity, message).because(why);
        findings.push(finding.fix(Fix::advice("clean filters and fans, and bring the temperature of the room down")));
    } else if let Some(held) = gpu.heat_limit_ms.filter(|held| *held > 0 && brake == 0) {
        let message = format!("heat held the clocks of {name} {uuid} down for {held} ms of the last 10 minutes");
        let finding =
            Finding::new(Severity::Warn, message).because("its driver counts that; no look happened to see it");
        findings.push(finding.fix(Fix::advice("clean filters and fans, and bring the temperature of the room down")));
    }
    Verdict::Judged(findings)
}
