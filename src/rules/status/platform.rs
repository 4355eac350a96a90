use crate::engine::{AgentSighting, Check, Context, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Device that runs IoT Edge on another platform than the target
    ///
    /// `$edgeAgent` reports what it runs on: `Kubernetes`, or `linux` where Docker runs the modules. Here that is not the platform
    /// that was judged for, so the other findings are about a device that this is not: most rules for Kubernetes say nothing of
    /// Docker, and the other way round. Before the move, on the device that is left, that is as it has to be.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "agent": { "last_version": 3, "platform": { "os": "linux", "architecture": "x86_64" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "agent": { "last_version": 3, "platform": { "os": "Kubernetes", "architecture": "amd64", "nodes": 2 } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: which target to judge for.
    id: "status-platform",
    codes: &["STS-011"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`edgelet-kube/src/runtime.rs`; `$edgeAgent` `runtime.platform`",
    check: Check::Agent(check),
}

fn check(sighting: &AgentSighting<'_>, context: &Context<'_>) -> Verdict {
    let platform = &sighting.agent.platform;
    let Some(os) = platform.os.as_deref().filter(|os| !os.is_empty()) else { return Verdict::NotApplicable };
    let has_docker = !os.eq_ignore_ascii_case("kubernetes");
    let target = context.target.platform;
    let finding = (has_docker != target.has_docker()).then(|| {
        let runs_on = if has_docker { "Docker" } else { "Kubernetes" };
        let other = Platform::ALL.iter().find(|other| other.has_docker() == has_docker);
        let finding = Finding::new(
            Severity::Warn,
            format!("IoT Edge runs on {runs_on} there (`{os}`), and was judged for {}", target.word()),
        )
        .because("the other findings are about a platform that this device does not have, unless it is the one before the move");
        match other {
            Some(other) => finding.fix(Fix::advice(format!("judge for it with --target {}", other.word()))),
            None => finding,
        }
    });
    finding.into()
}
