use crate::engine::{Check, Context, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module whose container cannot be made
    ///
    /// While a container waits, IoT Edge says `backoff` with the word of Kubernetes for why. `ImagePullBackOff` and its relatives
    /// mean that the image does not come; `CreateContainerConfigError` and `RunContainerError` that the container cannot be
    /// made as it was asked for. Waiting does not help: something in the deployment or at the registry has to change.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "states": { "scorer": { "status": "backoff", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module in Back-off reason: ImagePullBackOff" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z", "description": "Started" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what to look at for the reason that IoT Edge gives.
    id: "status-waiting",
    codes: &["STS-002"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `PodExtensions.cs`",
    check: Check::Running(check),
}

/// Reasons of Kubernetes, what they mean and where to look.
const REASONS: [(&str, &str, &str); 6] = [
    ("ImagePullBackOff", IMAGE, LOOK_AT_IMAGE),
    ("ErrImagePull", IMAGE, LOOK_AT_IMAGE),
    ("ErrImageNeverPull", IMAGE, LOOK_AT_IMAGE),
    ("InvalidImageName", "its image is no reference to an image", "correct the name of the image"),
    (
        "CreateContainerConfigError",
        "a secret, a variable or a volume that its container needs is not there",
        "look for volumes and secrets in its createOptions that do not exist on this device",
    ),
    (
        "RunContainerError",
        "the container was made and its program could not be started",
        "look at its entrypoint, command, user and mounts",
    ),
];
const IMAGE: &str = "its image cannot be pulled: the name, the credentials, the registry or the way to it is wrong";
const LOOK_AT_IMAGE: &str =
    "compare the image's name and the registry's credentials with what the registry has, and try the proxy";

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(reported) = sighting.reported else { return Verdict::NotApplicable };
    let found = REASONS.iter().find(|(word, ..)| reported.description.contains(&format!("reason: {word}")));
    let finding = found.map(|(word, means, fix)| {
        Finding::new(Severity::Block, format!("`{}` waits and will not start: {word}", sighting.id))
            .because(*means)
            .fix(Fix::advice(*fix))
    });
    finding.into()
}
