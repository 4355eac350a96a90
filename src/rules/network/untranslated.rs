use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::{At, Kind};

/// An option that the agent does not translate, how bad that is, and what follows.
const IGNORED: [(&[&str], Severity, &str); 8] = [
    (
        &["HostConfig", "ExtraHosts"],
        Severity::Silent,
        "these host names do not resolve, and nothing on Kubernetes replaces them",
    ),
    (
        &["HostConfig", "Links"],
        Severity::Silent,
        "the names given here do not resolve; call modules by their own names",
    ),
    (&["HostConfig", "Dns"], Severity::Silent, "names are resolved by the DNS of the cluster, not by these servers"),
    (&["HostConfig", "DnsSearch"], Severity::Silent, "names are searched in the cluster's domains, not in these"),
    (
        &["HostConfig", "DnsOptions"],
        Severity::Warn,
        "names are resolved by the DNS of the cluster, without these options",
    ),
    (&["Hostname"], Severity::Warn, "the host name in the container is the name of the pod, which changes"),
    (&["Domainname"], Severity::Warn, "the container gets no domain name"),
    (&["MacAddress"], Severity::Warn, "the pod gets another address"),
];

rule! {
    /// # Network option that is not translated
    ///
    /// The agent reads of a module's network options only the ports and `NetworkMode: host`. Other modes, `NetworkingConfig`,
    /// `ExtraHosts`, `Links`, DNS options, host name and MAC address are dropped without a word: the module runs, in the
    /// cluster's network and with the cluster's DNS. With `NetworkMode: none` it **has** a network.
    ///
    /// `bridge`, `default` and `azure-iot-edge`, IoT Edge's own network on Docker, need no translation and are not reported.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Hostname": "scorer-1", "HostConfig": { "ExtraHosts": ["plc:10.1.2.3"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Addresses or names that the site's DNS knows, handed to the module in its environment:
    ///
    /// ```json,passes
    /// { "Env": ["PLC=10.1.2.3"], "HostConfig": { "NetworkMode": "azure-iot-edge" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the option: on Kubernetes that changes nothing, but whatever relied on it needs another way first.
    id: "network-untranslated",
    codes: &["NET-013"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, class CreatePodParameters; K8S-TR; K8S-BP hostnetwork",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let mode = module.option(&["HostConfig", "NetworkMode"]);
    let networks = module.option(&["NetworkingConfig"]);
    let ignored = IGNORED
        .iter()
        .filter_map(|(keys, severity, reason)| Some((module.option(keys)?, *severity, *reason)))
        .map(|(at, severity, reason)| is_given(at).then(|| finding(at, severity, reason)));
    Verdict::each(
        [mode.map(other_mode), networks.map(|networks| other_networks(networks, mode))]
            .into_iter()
            .flatten()
            .chain(ignored),
        |judged| judged,
    )
}

fn finding(at: At<'_>, severity: Severity, reason: &str) -> Finding {
    let key = at.key().unwrap_or_default();
    Finding::new(severity, format!("`{key}` has no effect on Kubernetes"))
        .at(at.key_span(), "not translated")
        .because(reason)
        .fix(Fix::ask(format!("remove `{key}`")).remove(at.path()))
}

/// A `NetworkMode` that is neither the host's (rule NET-012) nor what a module has anyway.
fn other_mode(mode: At<'_>) -> Option<Finding> {
    let text = mode.as_str().filter(|_| is_given(mode))?;
    if ["host", "bridge", "default", "azure-iot-edge"].iter().any(|known| text.eq_ignore_ascii_case(known)) {
        return None;
    }
    let reason = match text {
        "none" => "the module has the network of its pod, though it is meant to have none",
        _ if text.starts_with("container:") => {
            "the module gets a network of its own and does not share that container's"
        }
        _ => "the module is in the cluster's network, with all others",
    };
    let finding = Finding::new(Severity::Silent, format!("`NetworkMode` `{text}` has no effect on Kubernetes"));
    let fix = Fix::ask("remove `NetworkMode`").remove(mode.path());
    Some(finding.at(mode.span(), "not translated").because(reason).fix(fix))
}

/// `NetworkingConfig`, if it says more than `mode` does: joining the usual network, or the host's beside
/// `NetworkMode: host`, which NET-012 reports, is nothing of its own.
fn other_networks(networks: At<'_>, mode: Option<At<'_>>) -> Option<Finding> {
    let on_host = mode.and_then(At::as_str).is_some_and(|mode| mode.eq_ignore_ascii_case("host"));
    let usual = |endpoint: &At<'_>| match endpoint.key().unwrap_or_default() {
        "host" => on_host,
        "bridge" | "azure-iot-edge" => !is_given(*endpoint),
        _ => false,
    };
    let endpoints = networks.get_ignoring_case("EndpointsConfig").filter(|at| at.kind() == Kind::Object);
    let other = match endpoints {
        Some(endpoints) => endpoints.members().find(|endpoint| !usual(endpoint)),
        None => Some(networks).filter(|networks| is_given(*networks)),
    }?;
    let reason =
        "the module is in the cluster's network under its own name; networks, fixed addresses and aliases are lost";
    let fix = Fix::ask("remove `NetworkingConfig`").remove(networks.path());
    let finding = Finding::new(Severity::Warn, "`NetworkingConfig` has no effect on Kubernetes");
    Some(finding.at(other.key_span(), "not translated").because(reason).fix(fix))
}
