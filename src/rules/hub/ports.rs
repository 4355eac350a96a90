use serde_json::{Map, json};

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{HUB_PORTS, Service, ServiceKind};
use crate::manifest::{Module, port};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # edgeHub without its ports
    ///
    /// Modules talk to edgeHub at `edgehub`, ports 8883 (MQTT), 5671 (AMQP) and 443 (WebSockets, HTTP). On Docker they reach it
    /// whatever it declares, and a troubleshooting page advises to delete its port bindings where another program needs
    /// port 443. On Kubernetes the name `edgehub` exists only as a Service, which is made of the declared ports: without any,
    /// **every module loses edgeHub**; without one of them, the modules that use its protocol do.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {} } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///     "ExposedPorts": { "8883/tcp": {}, "5671/tcp": {}, "443/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// Bind them to host ports instead (`PortBindings`, each to its own number) if devices outside connect to edgeHub as a
    /// gateway; it gets an external address then.
    ///
    /// ## Fix
    ///
    /// Safe: the missing ports are declared in `ExposedPorts`, for the cluster only. Asks where edgeHub has an external
    /// address, because they can be reached from outside then, and where it is on the host network, because it could be
    /// reached from outside so far.
    id: "hub-ports",
    codes: &["HUB-001"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.hostport-exposes"],
    source: "IE-ERR \"IoT Edge hub fails to start\"; agent `KubernetesServiceMapper.cs`; gateway host name `edgehub`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    // Without settings it is a layer over an edgeHub that is written elsewhere.
    if !(module.is_system() && module.id() == "edgeHub") || module.entry().get("settings").is_none() {
        return Verdict::NotApplicable;
    }
    let service = Service::of(module);
    // A port that is mapped elsewhere or whose host port cannot be read is there, if not as it should: HUB-002, NET-005.
    let named = |number: u16| {
        let map = module.option(&["HostConfig", "PortBindings"]);
        map.into_iter().flat_map(At::members).filter_map(|at| port(at.key()?)).any(|(port, _)| port == number)
    };
    let missing: Vec<u16> =
        HUB_PORTS.into_iter().filter(|number| !service.may_listen(*number) && !named(*number)).collect();
    Verdict::from((!missing.is_empty()).then(|| finding(module, &service, &missing)))
}

fn finding(module: Module<'_>, service: &Service<'_>, missing: &[u16]) -> Finding {
    let at = [&["HostConfig", "PortBindings"] as &[&str], &["ExposedPorts"]]
        .into_iter()
        .find_map(|keys| module.option(keys));
    let span = at.map_or(module.entry().key_span(), At::key_span);
    let list: Vec<_> = missing.iter().map(u16::to_string).collect();
    let (severity, reason) = if missing.len() == HUB_PORTS.len() {
        (Severity::Block, "the name `edgehub` leads nowhere: every module loses edgeHub".to_owned())
    } else {
        let protocols: Vec<_> = missing.iter().map(|number| protocol(*number)).collect();
        (Severity::Warn, format!("modules that connect by {} lose edgeHub", protocols.join(" or by ")))
    };
    Finding::new(severity, format!("edgeHub does not declare {}", list.join(", ")))
        .at(span, format!("no port {}", list.join(", ")))
        .because(reason)
        .fix(declare(module, service, missing))
}

/// What modules talk at a port of edgeHub.
fn protocol(number: u16) -> &'static str {
    match number {
        8883 => "MQTT",
        5671 => "AMQP",
        _ => "WebSockets or HTTP",
    }
}

fn declare(module: Module<'_>, service: &Service<'_>, missing: &[u16]) -> Fix {
    let mode = module.option(&["HostConfig", "NetworkMode"]).and_then(At::as_str);
    let fix = if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("host")) {
        Fix::ask("declare the ports of edgeHub, for the cluster only; use `PortBindings` if devices connect to it")
    } else if service.kind == ServiceKind::ClusterIp || service.ports.is_empty() {
        Fix::safe("declare the ports of edgeHub")
    } else {
        Fix::ask("declare the missing ports of edgeHub, which opens them to the outside too")
    };
    let keys = missing.iter().map(|number| format!("{number}/tcp"));
    if module.option(&["ExposedPorts"]).is_some() {
        return keys.fold(fix, |fix, key| fix.set(module.option_path(&["ExposedPorts", &key]), json!({})));
    }
    let ports: Map<_, _> = keys.map(|key| (key, json!({}))).collect();
    module.set_option(fix, &["ExposedPorts"], ports)
}
