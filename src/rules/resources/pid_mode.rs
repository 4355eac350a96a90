use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::{Agent, Platform};
use crate::text::At;

rule! {
    /// # Processes of another container
    ///
    /// On Docker `PidMode` lets a module see the processes of another container or of the host. On Kubernetes only
    /// `host` has an effect, and only with an agent from beta14 on; everything else is dropped, and the module sees its
    /// own processes.
    ///
    /// The device's GPU-sharing sample of March 2021 sets `host`, though devices showed beta13 at the time and the
    /// translation came with beta14: with an earlier agent the sample can't work as it is written.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "PidMode": "container:scorer" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Modules that work without it. (An empty mode is Docker's own default.)
    ///
    /// ```json,passes
    /// { "HostConfig": { "PidMode": "" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: `host` takes isolation away, and only an update of the device brings another agent. Say which one
    /// yours has (`--agent beta14`); without that it is taken to be beta13.
    id: "resources-pid-mode",
    codes: &["IPC-003", "GPU-011"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs` (IsHostPid); Azure/iotedge commit 441d84dd86; contradiction C12",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["HostConfig", "PidMode"]), |at| judge(module, at, context.agent))
}

fn judge(module: Module<'_>, at: At<'_>, agent: Agent) -> Option<Finding> {
    let mode = at.as_str().filter(|_| is_given(at))?;
    if !mode.eq_ignore_ascii_case("host") {
        return Some(
            Finding::new(Severity::Warn, format!("`PidMode` `{mode}` has no effect on Kubernetes"))
                .at(at.span(), "only `host` is translated")
                .because("the module sees its own processes and no others")
                .fix(Fix::advice("do without it; `host` shows every process of the node and takes isolation away")),
        );
    }
    if agent >= Agent::beta(14) {
        return None;
    }
    let mps = module.env().iter().any(|var| var.name.starts_with("CUDA_MPS_"));
    let reason = if mps {
        "the module sees its own processes only, and doesn't reach the Multi-Process Service of the GPU"
    } else {
        "the module sees its own processes only"
    };
    Some(
        Finding::new(Severity::Warn, format!("agent {agent} drops `PidMode`"))
            .at(at.span(), "translated from beta14 on")
            .because(reason)
            .fix(Fix::advice("update the device to software with a later agent, and say so with `--agent`")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn host_works_from_beta14_on() {
        let manifest = Manifest::read(&Source::new("t", r#"{"HostConfig": {"PidMode": "host"}}"#)).unwrap();
        let module = manifest.modules().next().unwrap();
        let at = module.option(&["HostConfig", "PidMode"]).unwrap();
        assert!(judge(module, at, Agent::beta(13)).is_some());
        assert!(judge(module, at, Agent::beta(14)).is_none());
    }
}
