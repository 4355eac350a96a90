use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{SERVICE_TYPE, Service, ServiceKind};
use crate::manifest::{Module, has_placeholder, is_given, port};
use crate::target::Platform;
use crate::text::{At, Kind};

/// What the agent does with an entry that it cannot read.
const SKIPPED: &str = "the agent skips the entry, at most with a line in its own log, and nobody reaches the port";

/// What the API server does with a number that is no port.
const REFUSED: &str = "Kubernetes refuses the Service, and the agent then makes or updates no module of the deployment";

rule! {
    /// # Port that the agent cannot read
    ///
    /// The agent takes ports as `<number>` or `<number>/tcp`, `/udp`, `/sctp`, and a `HostPort` as one whole number. Anything else,
    /// a range (`8000-8010`), another protocol, a `HostPort` that is empty or missing, is **skipped**: there is no such
    /// port on Kubernetes, and nothing says so but the agent's own log. On Docker an empty `HostPort` means any free
    /// port; Kubernetes has no such thing.
    ///
    /// Two kinds are worse, because they stop the whole deployment: a number that is no port (0, 70000), which
    /// Kubernetes refuses, and `null` in place of the list of host ports, over which the agent stumbles.
    ///
    /// `HostIp` is ignored. A port that Docker opens on one address of the host only gets an external address like any
    /// other.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "" }] } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "5000" }] } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and offers the container's own port as `HostPort`, or the first one of a range. Ranges of container ports
    /// must be written out by hand, one entry each. For a `HostIp` it offers to keep the module inside the cluster.
    id: "network-port-syntax",
    codes: &["NET-005"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `PortExtensions.cs`, `PortAndProtocol.cs`; port numbers tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let exposed = module.option(&["ExposedPorts"]).into_iter().flat_map(At::members).map(|member| vec![key(member)]);
    let bound = module.option(&["HostConfig", "PortBindings"]).into_iter().flat_map(At::members);
    let bound = bound.map(|member| binding(module, member));
    Verdict::each(exposed.chain(bound).flatten(), |judged| judged)
}

/// A key of `ExposedPorts` or `PortBindings`.
fn key(member: At<'_>) -> Option<Finding> {
    let key = member.key()?;
    let number = key.split('/').next()?.trim().parse::<i64>().ok();
    let finding = match number {
        _ if has_placeholder(key) => return None,
        Some(number) if !is_port(number) => {
            let fix = Fix::advice("use a port from 1 to 65535");
            Finding::new(Severity::Block, format!("{number} is no port")).because(REFUSED).fix(fix)
        }
        _ if port(key).is_some() => return None,
        _ => {
            let fix = Fix::advice("write each port as an entry of its own: number, slash, tcp, udp or sctp");
            Finding::new(Severity::Silent, format!("`{key}` is not read as a port")).because(SKIPPED).fix(fix)
        }
    };
    Some(finding.at(member.key_span(), "expected a port from 1 to 65535, with /tcp, /udp or /sctp"))
}

/// A member of `PortBindings`: its key, or else each of its host ports.
fn binding(module: Module<'_>, member: At<'_>) -> Vec<Option<Finding>> {
    let wrong = key(member);
    let Some((container, _)) = member.key().and_then(port).filter(|_| wrong.is_none()) else { return vec![wrong] };
    let fix = || {
        let one = serde_json::json!([{ "HostPort": container.to_string() }]);
        Fix::ask(format!("give it the host port {container}")).set(member.path(), one)
    };
    match member.kind() {
        Kind::Null => {
            let reason = "the agent stumbles over it, and the deployment fails for all modules";
            let finding = Finding::new(Severity::Block, format!("port {container} is bound to `null`"));
            vec![Some(finding.at(member.span(), "expected a list of host ports").because(reason).fix(fix()))]
        }
        Kind::Array if member.items().len() == 0 => {
            let finding = Finding::new(Severity::Silent, format!("port {container} is bound to no host port"));
            vec![Some(finding.at(member.span(), "expected a host port").because(SKIPPED).fix(fix()))]
        }
        _ => member.items().flat_map(|item| [host_port(item, container), host_ip(module, item)]).collect(),
    }
}

fn host_port(item: At<'_>, container: u16) -> Option<Finding> {
    let host = item.get_ignoring_case("HostPort");
    let text = host.and_then(At::as_text).unwrap_or_default().trim();
    let at = host.unwrap_or(item).span();
    let (finding, with) = match text.parse::<i64>() {
        _ if has_placeholder(text) => return None,
        Ok(number) if is_port(number) => return None,
        Ok(number) => {
            let finding = Finding::new(Severity::Block, format!("host port {number} of port {container} is no port"));
            (finding.because(REFUSED).at(at, "expected a number from 1 to 65535"), container)
        }
        Err(_) if text.is_empty() => {
            let finding = Finding::new(Severity::Silent, format!("port {container} is bound to no host port"));
            (finding.because(SKIPPED).at(at, "any free port on Docker, none on Kubernetes"), container)
        }
        Err(_) => {
            let finding =
                Finding::new(Severity::Silent, format!("host port `{text}` of port {container} is not one number"));
            let first = text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
            (finding.because(SKIPPED).at(at, "expected one whole number"), first.unwrap_or(container))
        }
    };
    let path = host.map_or_else(|| item.path().key("HostPort"), At::path);
    Some(finding.fix(Fix::ask(format!("give it the host port {with}")).set(path, with.to_string())))
}

/// A `HostIp` that narrows who can connect, on a Service that does not.
fn host_ip(module: Module<'_>, item: At<'_>) -> Option<Finding> {
    let at = item.get_ignoring_case("HostIp").filter(|at| is_given(*at))?;
    let address = at.as_str()?;
    if ["0.0.0.0", "::"].contains(&address) || Service::of(module).kind == ServiceKind::ClusterIp {
        return None;
    }
    let fix = Fix::ask("keep the module inside the cluster, if nobody outside needs it");
    let finding = Finding::new(Severity::Warn, format!("`HostIp` `{address}` does not narrow who can connect"))
        .at(at.span(), "ignored on Kubernetes")
        .because("the port gets an external address of the device instead, for everybody on that network");
    Some(finding.fix(module.set_option(fix, &SERVICE_TYPE, "ClusterIP")))
}

fn is_port(number: i64) -> bool {
    (1..=65535).contains(&number)
}
