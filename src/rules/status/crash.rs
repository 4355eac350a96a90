use crate::engine::{Check, Context, Sighting, Verdict};
use crate::evidence::{ModuleState, RuntimeStatus};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that ends with an error
    ///
    /// The program of the module ended by itself with an exit code that is not 0, or does so again and again. IoT Edge starts
    /// it again with pauses that grow up to five minutes, so between two crashes it may show as running. The exit code says what
    /// kind of end it was: 126 and 127 a program that cannot be started, 137 a kill, 139 a fault of memory, 1 an error of the
    /// application itself, which its log explains.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "exited", "exit_code": 139,
    ///   "history": { "window_secs": 600, "starts": 3, "deaths": 3, "last_death": 139 } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running", "history": { "window_secs": 600, "starts": 1 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what the exit code means, and the module's log.
    id: "status-crash",
    codes: &["STS-004", "STS-013"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "agent `PodExtensions.cs`; Docker events `die`; exit codes: POSIX shells and Docker",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let crash = match (sighting.container, sighting.reported) {
        // Another rule says it better.
        (Some(container), _) if container.ran_out_of_memory() => None,
        (Some(container), _) => container.is_crashing().then(|| {
            let code = container.history.last_death.filter(|_| container.is_running()).unwrap_or(container.exit_code);
            (container.is_looping(), code)
        }),
        (None, Some(state)) => crash_reported(state),
        (None, None) => return Verdict::NotApplicable,
    };
    let finding = crash.map(|(is_looping, code)| {
        let does = if is_looping { "crashes again and again" } else { "ended with an error" };
        let (means, fix) = explain(code);
        Finding::new(Severity::Block, format!("`{}` {does}, exit code {code}", sighting.id))
            .because(means)
            .fix(Fix::advice(fix))
    });
    finding.into()
}

/// Whether it loops, and the exit code, in the words of the twin.
fn crash_reported(state: &ModuleState) -> Option<(bool, i64)> {
    if state.description.contains("OOMKilled") {
        return None;
    }
    let is_looping = state.description.contains("reason: CrashLoopBackOff");
    let has_failed = state.status == RuntimeStatus::Failed && state.exit_code != 0 && !state.is_unscheduled();
    (is_looping || has_failed).then_some((is_looping, state.exit_code))
}

/// What an exit code means, and what to do.
fn explain(code: i64) -> (&'static str, &'static str) {
    match code {
        0 => (
            "its program ends although nothing went wrong; a module has to keep running",
            "let the program wait for work",
        ),
        125 => ("the container could not be made", "look at the createOptions of the module and at the engine's log"),
        126 => ("the program is there and cannot be run", "look at the entrypoint: the file needs to be executable"),
        127 => {
            ("the program is not in the image", "look at the entrypoint and the command, and at the image's platform")
        }
        132 => ("the processor does not know an instruction", "use an image for the processor of this device"),
        134 => ("the program aborted itself", "look at the log of the module"),
        137 => ("it was killed, by somebody or for want of memory on the host", "look at the memory of the device"),
        139 => ("the program read or wrote memory that is not its own", "look at native libraries and their versions"),
        143 => ("it was asked to end, and nobody asked through the engine", "look at what in the module ends it"),
        _ => ("the application itself gave up", "look at the log of the module"),
    }
}
