use crate::engine::{Check, Context, Need, Verdict};
use crate::evidence::{IotHub, Snapshot};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Manifest, Module, UPSTREAM_PROTOCOL, UpstreamProtocol};
use crate::target::Platform;

/// HTTPS, and what runs in WebSockets.
const WEB: u16 = 443;

rule! {
    /// # IoT Hub that cannot be reached
    ///
    /// edgeHub talks to IoT Hub on the port of its `UpstreamProtocol`: 5671 for `Amqp`, 8883 for `Mqtt`, 443 for both inside of WebSockets. Where
    /// nothing is written it tries AMQP, and then AMQP inside of WebSockets. From the module that looks, there is no way to that port, neither
    /// straight nor, for 443, through a proxy of its own variables. Modules run, and no message arrives.
    ///
    /// Where edgeHub has a proxy that the module that looks does not have, 443 is not judged: give this module the same variables.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "network": { "iot_hub": { "known": { "host": "h.azure-devices.net", "straight": {
    ///   "443": { "fails": "no answer within 3.5 s" }, "5671": "refused", "8883": "refused" } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "network": { "iot_hub": { "known": { "host": "h.azure-devices.net", "straight": {
    ///   "443": "open", "5671": "open", "8883": "refused" } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: open the port in the firewall for the addresses of the Kubernetes nodes or of the VM, or choose a protocol that passes.
    id: "network-iot-hub",
    codes: &["NET-019"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Network],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "IE-PROD, allow connections; `doc/EnvironmentVariables.md` of iotedge; ASE-TS; connections to IoT Hub",
    check: Check::Device(check),
}

fn check(snapshot: &Snapshot, context: &Context<'_>) -> Verdict {
    let Some(hub) = snapshot.network.known().and_then(|network| network.iot_hub.known()) else {
        return Verdict::NotApplicable;
    };
    let manifest = snapshot.manifest.known();
    let chosen = manifest.and_then(|manifest| upstream(manifest, context.target.platform.has_docker()));
    let protocol = chosen.as_ref().and_then(|var| UpstreamProtocol::of(var.value));
    let has_other_proxy = hub.detours.is_empty()
        && manifest.and_then(edge_hub).is_some_and(|module| module.env().iter().any(EnvVar::is_proxy));
    let port = match protocol {
        None | Some(UpstreamProtocol::Amqp) => 5671,
        Some(UpstreamProtocol::Mqtt) => 8883,
        Some(_) => WEB,
    };
    let web_is_open = hub.is_open(WEB);
    if is_open(hub, port) {
        return Verdict::Judged(Vec::new());
    }
    if has_other_proxy && (port == WEB || protocol.is_none()) {
        return Verdict::NotApplicable;
    }
    let host = &hub.host;
    let severity = if protocol.is_none() && web_is_open { Severity::Info } else { Severity::Silent };
    let message = match (protocol, web_is_open) {
        (None, true) => format!("edgeHub reaches {host} inside of WebSockets only, after it has tried AMQP"),
        (None, false) => format!("there is no way to {host}, neither for AMQP nor inside of WebSockets"),
        (Some(protocol), _) => format!("there is no way to port {port} of {host}, which `{}` needs", protocol.word()),
    };
    let ports: &[u16] = if protocol.is_none() && !web_is_open { &[5671, WEB] } else { &[port] };
    let why = if severity == Severity::Info {
        "each start waits until AMQP has failed"
    } else {
        "modules show as running, and no message arrives"
    };
    let way_out = match protocol {
        _ if !web_is_open => {
            "open the port in the firewall for the addresses of the nodes or of the VM, or name the site's proxy"
                .to_owned()
        }
        Some(protocol) => format!("set `{UPSTREAM_PROTOCOL}` to `{}`, which passes", protocol.in_web_sockets().word()),
        None => format!("set `{UPSTREAM_PROTOCOL}` to `AmqpWs`, which passes"),
    };
    let finding =
        Finding::new(severity, message).because(format!("{}; {why}", ways(hub, ports))).fix(Fix::advice(way_out));
    Verdict::Judged(vec![match chosen {
        Some(var) => finding.at(var.value_span(), format!("needs port {port}")),
        None => finding,
    }])
}

/// The variable that chooses the protocol of edgeHub. On Docker edgeAgent hands its own one down (PRX-004).
fn upstream(manifest: &Manifest, is_handed_down: bool) -> Option<EnvVar<'_>> {
    let own = edge_hub(manifest).and_then(Module::upstream_protocol);
    let mut agents = manifest.modules().filter(|module| module.is_system() && module.id() == "edgeAgent");
    own.or_else(|| agents.next().filter(|_| is_handed_down).and_then(Module::upstream_protocol))
}

fn edge_hub(manifest: &Manifest) -> Option<Module<'_>> {
    manifest.modules().find(|module| module.is_system() && module.id() == "edgeHub")
}

/// Whether edgeHub gets there: through proxies only what is HTTP.
fn is_open(hub: &IotHub, port: u16) -> bool {
    if port == WEB { hub.is_open(port) } else { hub.straight.get(&port).is_some_and(crate::evidence::Reach::is_open) }
}

/// Every way and what came of it.
fn ways(hub: &IotHub, ports: &[u16]) -> String {
    let straight = ports.iter().filter_map(|port| Some(format!("port {port}: {}", hub.straight.get(port)?)));
    let through = hub.detours.iter().flat_map(|detour| {
        ports
            .iter()
            .filter_map(|port| Some(format!("port {port} through {}: {}", detour.proxy, detour.ports.get(port)?)))
    });
    straight.chain(through).collect::<Vec<_>>().join(", ")
}
