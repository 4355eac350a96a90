use jiff::SignedDuration;

use crate::engine::{AgentSighting, Check, Context, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

/// How long a failure has to last before the deployment is to blame: the first report after a change is about the one
/// before (STS-012).
const STALE: SignedDuration = SignedDuration::from_secs(60);

rule! {
    /// # Deployment that edgeAgent could not apply
    ///
    /// `lastDesiredStatus.code` of `$edgeAgent` says what became of the deployment: 400 it is malformed, 406 the agent does not
    /// report, 412 its schema version is unknown, 417 it is empty, 500 applying it failed. On Kubernetes 500 also means that
    /// the API server refused something, of any module, and then none may have been updated.
    ///
    /// On Kubernetes the code lags: the first 500 after a new deployment may be about the one before. So a 500 of less than
    /// a minute is no alarm, and one that two reports at least a minute apart agree on is. A 200 proves little: failures are
    /// not always reported.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "agent": { "last_version": 12, "code": 500, "since": "2025-12-31T23:00:00Z",
    ///   "description": "One or more errors occurred. (POST [https://172.28.0.1/api/v1/namespaces/iotedge/services](Operation returned an invalid status code 'UnprocessableEntity'))" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "agent": { "last_version": 12, "code": 200 } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what each code asks for.
    id: "status-deployment-code",
    codes: &["STS-008", "STS-012"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`$edgeAgent` `lastDesiredStatus`; agent `KubernetesPlanner`, `OrderedRetryPlanRunner`",
    check: Check::Agent(check),
}

fn check(sighting: &AgentSighting<'_>, context: &Context<'_>) -> Verdict {
    let agent = sighting.agent;
    let Some(code) = agent.code else { return Verdict::NotApplicable };
    let (severity, means, fix) = match code {
        200 => return Verdict::Judged(Vec::new()),
        400 => (
            Severity::Block,
            "it is malformed, and nothing of it was applied",
            "check the deployment, and correct what is not as its schema says",
        ),
        406 => (
            Severity::Warn,
            "edgeAgent is offline, stopped, or does not report",
            "look whether the device is online and whether edgeAgent runs",
        ),
        412 => (
            Severity::Block,
            "edgeAgent does not know its schema version",
            "set `schemaVersion` to one that this edgeAgent knows, 1.0 or 1.1",
        ),
        417 => (Severity::Block, "it is empty", "set the modules of the device again"),
        500 => (
            Severity::Block,
            "applying it failed, and one module that fails may keep the others from being updated",
            "check the deployment for what Kubernetes or Docker refuses: the code does not say which module it was",
        ),
        _ => (Severity::Warn, "nobody has said what this code means", "look at the log of edgeAgent"),
    };
    let version = agent.last_version.map_or_else(String::new, |version| format!(" {version}"));
    let words = if agent.description.is_empty() { String::new() } else { format!(": {}", cut(&agent.description)) };
    let message = format!("edgeAgent says {code} of deployment{version}{words}");
    let lasts = agent.since.map(|since| context.now.duration_since(since));
    if code == 500 && lasts.is_none_or(|lasts| lasts < STALE) {
        let finding = Finding::new(Severity::Info, message).of(&["STS-012"]).because(
            "it may be about the deployment before: the code lags, so another report a minute later has to agree",
        );
        return Some(finding).into();
    }
    let finding = Finding::new(severity, message).of(&["STS-008"]).because(means).fix(Fix::advice(fix));
    Some(finding).into()
}

/// Words of the agent may be as long as a page.
fn cut(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
