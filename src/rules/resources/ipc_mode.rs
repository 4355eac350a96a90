use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::{Agent, Platform};
use crate::text::At;

rule! {
    /// # Shared memory between modules
    ///
    /// On Docker two modules share memory when one is `shareable` and the other joins it with `container:<name>`. On
    /// Kubernetes only `host` has an effect; any other mode is dropped, each module gets memory of its own, and what
    /// one writes the other never sees. Agents before beta10 drop `host` too.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "IpcMode": "container:lvaEdge" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// `host` on **each** of the modules.
    ///
    /// ```json,passes
    /// { "HostConfig": { "IpcMode": "host" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because it takes isolation away: with `host` the module can reach the shared memory of everything else on
    /// the node that has it. It sets `host` here and on the module that is joined.
    id: "resources-ipc-mode",
    codes: &["IPC-002"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.shared-memory"],
    source: "seed, Memory and CPU; agent `KubernetesDeploymentMapper.cs`; LVA",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["HostConfig", "IpcMode"]), |at| {
        if at.as_str()?.eq_ignore_ascii_case("host") {
            return (context.agent < Agent::beta(10)).then(|| dropped(at, context.agent));
        }
        let message = match at.as_str()?.split_once(':') {
            Some(("container", name)) => format!("shared memory of `{name}` can't be joined on Kubernetes"),
            None if at.as_str() == Some("shareable") => "shared memory can't be offered on Kubernetes".to_owned(),
            _ => return None,
        };
        let finding = Finding::new(Severity::Block, message)
            .at(at.span(), "only `host` has an effect")
            .because("each module gets memory of its own, and what one writes the other never sees");
        Some(finding.fix(host(module, at)))
    })
}

/// An agent that doesn't know the mode at all.
fn dropped(at: At<'_>, agent: Agent) -> Finding {
    Finding::new(Severity::Block, format!("agent {agent} drops `IpcMode`"))
        .at(at.span(), "translated from beta10 on")
        .because("each module gets memory of its own, and what one writes the other never sees")
        .fix(Fix::advice("update the device to software with a later agent, and say so with `--agent`"))
}

/// Host IPC here, and on the module that is joined unless it has it or has no createOptions to write it into.
fn host(module: Module<'_>, at: At<'_>) -> Fix {
    let fix = Fix::ask("share the memory of the node, on each module that takes part; that takes isolation away")
        .set(at.path(), "host");
    let joined = at.as_str().and_then(|mode| mode.strip_prefix("container:"));
    let partner = joined.and_then(|name| module.manifest().module(name)).filter(|partner| {
        let mode = partner.option(&["HostConfig", "IpcMode"]).and_then(At::as_str);
        partner.options().root().is_some() && mode != Some("host")
    });
    match partner {
        Some(partner) => fix.set(partner.option_path(&["HostConfig", "IpcMode"]), "host"),
        None => fix,
    }
}
