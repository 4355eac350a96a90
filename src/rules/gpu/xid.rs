use crate::engine::{Check, Context, Verdict};
use crate::evidence::{Gpu, GpuState, Xid};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Fault that the GPU's driver reported
    ///
    /// An Xid is the driver's number for a fault. Some mean that a module's code is wrong, some that the GPU or its memory can no
    /// longer be trusted, some nothing at all. Here each comes with what an operator can do. What another rule says more exactly (a
    /// GPU that is lost, memory that waits for a restart) is not said twice.
    ///
    /// A fault that only a restart of the device or a reset of the GPU clears stays until that was seen, also when EdgeShift itself
    /// is started anew. Where it is back after one, the advice is another, and after two of the last thirty days it is to replace
    /// the card. That needs a folder in which EdgeShift keeps what it learns (`--state`).
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "xids": {"48": {"count": 1, "seconds_ago": 60}}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4"}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply; the finding says what to do.
    id: "gpu-xid",
    codes: &["GPH-004"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVIDIA's Xid catalogue; page retirement for GPUs before Ampere",
    check: Check::Gpu(check),
}

/// What a fault is about: how bad it is, what happened, and what to do.
type Meaning = (Severity, &'static str, &'static str);

const RESET: &str = "restart the device, which resets the GPU; if it returns, have the card replaced";
const MODULE: &str = "restart the module that uses the GPU; if other modules have it too, suspect the GPU";

fn check(gpu: &Gpu, _: &Context<'_>) -> Verdict {
    // What came before this module looked is over, unless only a restart ends it.
    let is_over = |number: u64, xid: &Xid| xid.count == 0 && !needs_restart(number);
    let told = gpu.xids.iter().filter(|(number, xid)| !is_over(**number, xid) && !is_said_elsewhere(gpu, **number));
    Verdict::Judged(told.map(|(number, xid)| finding(gpu, *number, *xid)).collect())
}

/// What to do about a fault that only a restart clears and that is back after so many, in place of one more restart (`gpu.md` §3.1).
pub(super) fn advice_after(restarts: u32) -> Option<&'static str> {
    match restarts {
        0 => None,
        1 => Some(
            "restart the device with a cold power cycle and update the driver; if it returns, have the card replaced",
        ),
        _ => Some("have the card replaced: it comes back after every restart"),
    }
}

fn finding(gpu: &Gpu, number: u64, xid: Xid) -> Finding {
    let (severity, what, advice) = meaning(number, xid, gpu.remapped.is_none());
    let times = match xid.count {
        0 => "before EdgeShift was started".to_owned(),
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let message = format!("{} {} reported Xid {number} {times}: {what}", gpu.name, gpu.uuid);
    let last = match xid.seconds_ago {
        0..120 => format!("{} s", xid.seconds_ago),
        seconds => format!("{} min", seconds / 60),
    };
    let restarts = if needs_restart(number) { xid.restarts } else { 0 };
    let back = match restarts {
        0 => String::new(),
        1 => ", and it is back after a restart".to_owned(),
        restarts => format!(", and it is back after {restarts} restarts"),
    };
    let advice = advice_after(restarts).unwrap_or(advice);
    Finding::new(severity, message).because(format!("the last one was {last} ago{back}")).fix(Fix::advice(advice))
}

/// Whether the catalogue wants the GPU reset or the device restarted, and nothing else clears the fault.
fn needs_restart(number: u64) -> bool {
    matches!(
        number,
        46 | 48 | 61 | 62 | 64 | 79 | 95 | 109 | 110 | 119 | 120 | 136 | 140 | 143 | 155 | 156 | 158 | 167 | 169
    )
}

/// Whether another rule sees the same cause.
fn is_said_elsewhere(gpu: &Gpu, number: u64) -> bool {
    let pending = gpu.retired.is_some_and(|pages| pages.pending) || gpu.remapped.is_some_and(|rows| rows.pending);
    match number {
        79 => gpu.state == GpuState::Lost,
        48 | 94 | 95 | 140 | 171 | 172 => gpu.ecc.is_some_and(|ecc| ecc.uncorrected > 0),
        63 => pending,
        64 => gpu.remapped.is_some_and(|rows| rows.failed),
        154 => gpu.recovery_action.is_some(),
        _ => false,
    }
}

/// NVIDIA's catalogue, with what differs before Ampere (`retires`), where pages are retired and no rows are remapped.
fn meaning(number: u64, xid: Xid, retires: bool) -> Meaning {
    match number {
        13 | 31 if xid.count > 1 => (Severity::Warn, "a module's CUDA code faults again and again", MODULE),
        13 | 31 => (Severity::Info, "a module's CUDA code faulted", MODULE),
        43..=45 => (
            Severity::Info,
            "work was stopped, after another fault or because a module ended",
            "look at the fault just before",
        ),
        37 | 38 | 66 | 67 | 93 | 121 | 137 | 141 | 152 | 153 | 162..=166 | 170 => {
            (Severity::Info, "a notice of driver or firmware", "nothing has to be done")
        }
        46 => (Severity::Block, "the GPU timed out", RESET),
        48 => (Severity::Silent, "an error in its memory could not be corrected", RESET),
        54 => {
            (Severity::Block, "its auxiliary power is not connected", "check the power cable and the seat of the card")
        }
        61 | 62 | 169 => (Severity::Block, "its controller halted", RESET),
        63 if retires => (
            Severity::Warn,
            "a bad memory page was recorded",
            "plan a restart of the device, which takes the page out of use",
        ),
        63 => (Severity::Info, "a bad memory row was recorded", "restart the device when it is idle"),
        64 => (
            Severity::Block,
            "its memory could not be repaired",
            "restart the device; if it returns, have the card replaced",
        ),
        78 => (Severity::Warn, "a virtual GPU did not start", "check driver and licence of the virtual GPU"),
        79 => (Severity::Block, "it fell off the bus", "restart the device, with a cold power cycle if it stays lost"),
        92 => (Severity::Warn, "many memory errors are being corrected", "its memory is ageing: schedule diagnostics"),
        94 => (Severity::Warn, "a memory error hit one module", "restart the module that was hit"),
        95 | 140 => (Severity::Silent, "a memory error was not contained, so all work on the GPU is suspect", RESET),
        109 if xid.count > 1 || xid.restarts > 0 => {
            (Severity::Block, "switching between modules times out again and again", RESET)
        }
        109 => (
            Severity::Warn,
            "switching between modules timed out",
            "restart the module; if it returns, restart the device",
        ),
        110 | 136 | 143 | 155 | 156 | 158 | 167 => (Severity::Block, "a fault that only a reset clears", RESET),
        119 | 120 => {
            (Severity::Block, "the GPU's firmware hangs", "restart the device; if it returns, update the driver")
        }
        74 | 144..=150 => (
            Severity::Block,
            "the link between GPUs failed",
            "check the bridge between the GPUs, then restart the device",
        ),
        151 => (Severity::Block, "a key could not be renewed", "restart the VM"),
        154 => (
            Severity::Warn,
            "the driver asks for a recovery",
            "look at nvidia-smi -q for what it asks, else restart the device",
        ),
        157 | 160 | 161 => {
            (Severity::Warn, "memory or a channel could not be taken out of use", "plan a restart of the device")
        }
        122..=125 => {
            (Severity::Warn, "what the card stores of itself cannot be read", "collect `nvidia-bug-report` for support")
        }
        8 | 11 | 25 | 32 | 39..=41 | 60 | 68..=72 | 75..=77 | 80 | 82..=86 | 88 | 89 | 96..=105 | 126..=135 | 139 => (
            Severity::Warn,
            "an engine of the GPU faulted",
            "restart the module that uses the GPU; if it returns, collect `nvidia-bug-report`",
        ),
        159 => (
            Severity::Warn,
            "a link to the processor's memory delivered what it cannot",
            "update driver and firmware; if it returns, collect `nvidia-bug-report` for support",
        ),
        168 => (Severity::Warn, "less memory is in use than the card has", "plan a restart of the device"),
        171 | 172 => (Severity::Info, "the place of a memory error", "look at the fault just before"),
        _ => (Severity::Warn, "a fault that the catalogue does not know", "collect `nvidia-bug-report` for support"),
    }
}
