use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::volume::{self, Volume};
use crate::manifest::Module;
use crate::target::{Agent, Platform};

rule! {
    /// # Two volumes of one name
    ///
    /// The agent names the volume of a mount after its source, and drops what no name can have: `/data/a` and `/dataa`
    /// are both `dataa`, and so is the share `dataa`. From beta14 on it keeps one of them, and the module sees the
    /// **same** directory at both targets. Earlier agents keep both, and Kubernetes refuses the module; these refuse
    /// even one source that is mounted twice. A name that stands in `k8s-experimental.volumes` too is refused with
    /// every agent.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [
    ///     { "Type": "bind", "Source": "/data/in", "Target": "/in" },
    ///     { "Type": "bind", "Source": "/datain", "Target": "/more" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [
    ///     { "Type": "bind", "Source": "/data/in", "Target": "/in" },
    ///     { "Type": "bind", "Source": "/data/more", "Target": "/more" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. One source at two targets works from beta14 on; no table says which device has which agent, so say
    /// what yours has (`--agent beta14`). Without that it is taken to be beta13, the last one seen on a device.
    id: "storage-volume-collision",
    codes: &["STO-013"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs` and Azure/iotedge commit 5ce780713e; duplicate name refused, observed on Kubernetes 1.20; that two paths share the first is inferred",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let volumes = volume::of(module);
    if volumes.len() < 2 {
        return Verdict::NotApplicable;
    }
    Verdict::each(volumes.iter().enumerate(), |(index, volume)| {
        let name = volume.name.as_deref()?;
        let same = |other: &&Volume<'_>| other.name.as_deref() == Some(name);
        let first = volumes[..index].iter().find(same)?;
        judge(first, volume, name, context.agent)
    })
}

fn judge(first: &Volume<'_>, second: &Volume<'_>, name: &str, agent: Agent) -> Option<Finding> {
    let merges = agent >= Agent::beta(14);
    let refused = "Kubernetes refuses the module, and no module gets its claims";
    let one_source = first.source == second.source;
    let (severity, message, reason, way_out) = if first.is_extension() {
        let message = format!("there are two volumes `{name}`");
        (Severity::Block, message, refused, "give the one in `k8s-experimental.volumes` another name")
    } else if one_source && (merges || first.target == second.target) {
        // Twice at one target is rule STO-012's.
        return None;
    } else if one_source {
        let message = format!("`{}` is mounted twice, which agents before beta14 can't do", first.source);
        (Severity::Block, message, ASSUMED, KEEP_ONE)
    } else if merges {
        let message = format!("`{}` and `{}` become one volume", first.source, second.source);
        (Severity::Silent, message, "the module sees the same directory at both places", RENAME)
    } else {
        let message = format!("`{}` and `{}` become two volumes of one name", first.source, second.source);
        (Severity::Block, message, refused, RENAME)
    };
    Some(
        Finding::new(severity, message)
            .at(second.span, format!("the volume `{name}` again"))
            .related(first.span, format!("the volume `{name}`"))
            .because(reason)
            .fix(Fix::advice(way_out)),
    )
}

/// What follows where an earlier agent is taken for granted or named.
const ASSUMED: &str =
    "Kubernetes refuses the module, and no module gets its claims (beta13 is assumed where `--agent` names none)";

const KEEP_ONE: &str = "keep one of the two mounts, or say `--agent beta14` if the device has that agent";

const RENAME: &str = "rename one of them so that letters, digits and hyphens differ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn the_agent_decides() {
        let severities = |mounts: &str, beta| {
            let text = format!(r#"{{"HostConfig": {{"Binds": [{mounts}]}}}}"#);
            let manifest = Manifest::read(&Source::new("t", text)).unwrap();
            let volumes = volume::of(manifest.modules().next().unwrap());
            judge(&volumes[0], &volumes[1], "x", Agent::beta(beta)).map(|finding| finding.severity)
        };
        assert_eq!(severities(r#""/x:/a", "/x:/b""#, 13), Some(Severity::Block));
        assert_eq!(severities(r#""/x:/a", "/x:/b""#, 14), None);
        assert_eq!(severities(r#""/x:/a", "/x:/a""#, 13), None);
        assert_eq!(severities(r#""/x/y:/a", "/xy:/b""#, 13), Some(Severity::Block));
        assert_eq!(severities(r#""/x/y:/a", "/xy:/b""#, 14), Some(Severity::Silent));
    }
}
