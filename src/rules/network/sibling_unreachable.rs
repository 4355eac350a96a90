use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::{Container, Observed, Peer};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::Service;
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::Span;

rule! {
    /// # Sibling that cannot be reached
    ///
    /// Another module calls this one, or it declares a port, and from the module that looks its name leads nowhere or its port takes no
    /// connections, although nothing says that it does not run. Where the deployment declares no port on Kubernetes, `network-sibling-without-service`
    /// says that already; where the Docker engine sees that nothing listens on a published port, `network-port-not-bound` does.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "network": { "peers": { "cache": {
    ///   "host": "cache", "addresses": { "known": ["172.18.0.4"] }, "ports": { "6379": "absent" } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "network": { "peers": { "cache": {
    ///   "host": "cache", "addresses": { "known": ["172.18.0.4"] }, "ports": { "6379": { "known": null } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: let the program listen on that port on all addresses, or correct the port.
    id: "network-sibling-unreachable",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Network],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "migration rules NET-001, NET-002; `ase-runtime.md` §4: names and connections without any right",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    // edgeHub has a rule of its own, and nobody calls edgeAgent.
    let is_runtime = ["edgeHub", "edgeAgent"].contains(&sighting.id);
    // What has the host's network has no name in the modules' own one.
    let is_on_host = sighting.container.is_some_and(|container| container.network == "host");
    let (Some(peer), Some(network)) = (sighting.peer, sighting.network) else { return Verdict::NotApplicable };
    if is_runtime || is_on_host || !sighting.may_run() {
        return Verdict::NotApplicable;
    }
    let call = |port: Option<u16>| {
        let declared = sighting.declared?;
        let mut calls = context.calls.to(declared);
        calls.find(|call| port.is_none_or(|port| call.address.port == Some(port))).map(crate::kube_model::Call::span)
    };
    match &peer.addresses {
        Observed::Unknown(_) => Verdict::NotApplicable,
        Observed::Absent => {
            let is_said =
                network.from_kubernetes && sighting.declared.is_some_and(|module| Service::of(module).ports.is_empty());
            let Some(span) = call(None).filter(|_| !is_said) else { return Verdict::NotApplicable };
            let message = format!("`{}` is called, and the name `{}` leads nowhere", sighting.id, peer.host);
            let why = if network.from_kubernetes {
                "Kubernetes has no Service of that name"
            } else {
                "no container of that name is in the network of the modules"
            };
            let finding = Finding::new(Severity::Silent, message).at(span, "leads nowhere").because(why);
            Verdict::Judged(vec![finding.fix(Fix::advice("look whether the module runs, and in which network"))])
        }
        Observed::Known(_) => Verdict::each(&peer.ports, |(port, answer)| {
            let is_said = sighting.container.is_some_and(|container| is_silent(container, *port));
            let at = call(Some(*port)).or_else(|| declared_at(sighting.declared?, *port));
            let finding = unreached(sighting.id, peer, *port, answer).filter(|_| !is_said)?;
            Some(match at {
                Some(at) => finding.at(at, "declared or called here"),
                None => finding,
            })
        }),
    }
}

/// Whether the engine has seen already that nothing listens on the container's `port`.
fn is_silent(container: &Container, port: u16) -> bool {
    container.ports.iter().any(|published| published.container == port && published.answers == Some(false))
}

fn declared_at(module: Module<'_>, port: u16) -> Option<Span> {
    let service = Service::of(module);
    service
        .ports
        .iter()
        .find(|declared| declared.number == port || declared.target == port)
        .map(|port| port.at.key_span())
}

fn unreached(id: &str, peer: &Peer, port: u16, answer: &Observed<()>) -> Option<Finding> {
    let host = &peer.host;
    let (severity, message, why, way_out) = match answer {
        Observed::Absent => (
            Severity::Silent,
            format!("nothing in `{id}` takes connections on port {port}"),
            format!("a connection to {host}:{port} is refused: the program listens elsewhere, or on 127.0.0.1 only"),
            "let the program listen on that port on all addresses, or correct the port",
        ),
        Observed::Unknown(why) if why.expected => (
            Severity::Warn,
            format!("`{id}` does not answer on port {port}"),
            why.what.clone().into_owned(),
            "look at the network between the modules: something drops the packets, or the module is overloaded",
        ),
        Observed::Known(()) | Observed::Unknown(_) => return None,
    };
    Some(Finding::new(severity, message).because(why).fix(Fix::advice(way_out)))
}
