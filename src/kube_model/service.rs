//! The Kubernetes Service of a module (`k8s-translation.md` §3).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::finding::Fix;
use crate::manifest::{Module, Protocol, has_placeholder, port};
use crate::text::{At, Kind};

/// Where a module says what type its Service has.
pub(crate) const SERVICE_TYPE: [&str; 3] = ["k8s-experimental", "serviceOptions", "type"];

/// Where modules expect edgeHub: MQTT, AMQP, and WebSockets with HTTP.
pub(crate) const HUB_PORTS: [u16; 3] = [8883, 5671, 443];

/// What the agent makes of a module's `ExposedPorts` and `PortBindings`.
#[derive(Debug)]
pub(crate) struct Service<'m> {
    /// Who can reach it.
    pub(crate) kind: ServiceKind,
    /// Its ports in the agent's order: exposed ones, then host ports. Of several with one number the last stays.
    pub(crate) ports: Vec<ServicePort<'m>>,
    /// Whether a placeholder hides a port, or the options cannot be read: what is not in `ports` may be there all the
    /// same.
    pub(crate) unclear: bool,
}

/// Who can reach a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ServiceKind {
    /// The pods of the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// The network outside too, at an address of its own.
    LoadBalancer,
    /// The network outside too, at a port of the node.
    NodePort,
}

/// One port of a Service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServicePort<'m> {
    /// Where the Service listens: the exposed port or the host port.
    pub(crate) number: u16,
    /// The container's port behind it.
    pub(crate) target: u16,
    /// The protocol of both.
    pub(crate) protocol: Protocol,
    /// The member of `ExposedPorts` or `PortBindings`.
    pub(crate) at: At<'m>,
    /// The `HostPort` value, for host ports.
    pub(crate) host_at: Option<At<'m>>,
}

impl ServiceKind {
    /// As Kubernetes writes it.
    pub fn word(self) -> &'static str {
        match self {
            ServiceKind::ClusterIp => "ClusterIP",
            ServiceKind::LoadBalancer => "LoadBalancer",
            ServiceKind::NodePort => "NodePort",
        }
    }

    /// Reads it as the agent does: in any case, or as the number of its place in the agent's list. `None` for what else
    /// there may be, such as `ExternalName`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "clusterip" | "0" => Some(ServiceKind::ClusterIp),
            "loadbalancer" | "1" => Some(ServiceKind::LoadBalancer),
            "nodeport" | "2" => Some(ServiceKind::NodePort),
            _ => None,
        }
    }
}

impl<'m> Service<'m> {
    /// Reads the Service of `module`. No ports mean that there is none.
    pub(crate) fn of(module: Module<'m>) -> Self {
        let exposed_map = module.option(&["ExposedPorts"]);
        let bound_map = module.option(&["HostConfig", "PortBindings"]);
        let exposed = exposed_map.into_iter().flat_map(At::members).filter_map(|at| {
            let (number, protocol) = port(at.key()?)?;
            Some(ServicePort { number, target: number, protocol, at, host_at: None })
        });
        let bindings = module.port_bindings();
        let bound = bindings.iter().filter_map(|binding| {
            let (at, host_at) = (binding.at, binding.host_at);
            Some(ServicePort {
                number: binding.host?,
                target: binding.container,
                protocol: binding.protocol,
                at,
                host_at,
            })
        });
        // Port 0 is refused by the API server (rule NET-005 reports it).
        let ports: Vec<_> = exposed.chain(bound).filter(|port| port.number > 0 && port.target > 0).collect();
        let hidden = |at: At<'_>| at.as_text().is_some_and(has_placeholder) || at.key().is_some_and(has_placeholder);
        let maps = [exposed_map, bound_map];
        let unclear = matches!(module.options(), crate::manifest::Options::Broken { .. })
            || maps.iter().flatten().any(|map| hidden(*map) || map.members().any(hidden))
            || bindings.iter().any(|binding| binding.host_at.is_some_and(hidden));
        Self { kind: kind(module), ports, unclear }
    }

    /// The ports that are there in the end: one for each number.
    pub(crate) fn listening(&self) -> BTreeMap<u16, &ServicePort<'m>> {
        self.ports.iter().map(|port| (port.number, port)).collect()
    }

    /// Whether it listens on `number`, or may do so.
    pub(crate) fn may_listen(&self, number: u16) -> bool {
        self.unclear || self.ports.iter().any(|port| port.number == number)
    }
}

/// Whether a key of `k8s-experimental` means the Service options, spelled right or not: the same letters, whatever stands
/// between them, singular or plural.
pub(crate) fn means_service_options(key: &str) -> bool {
    let letters: String = key.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    letters == "serviceoptions" || letters == "serviceoption"
}

/// The change that gives `module`, whose Service is `service`, the port `key` (`80/tcp`) inside the cluster. It asks
/// where the Service has an external address, because the port could then be reached from outside.
pub(crate) fn declare_port(module: Module<'_>, service: &Service<'_>, key: &str) -> Fix {
    let (id, number) = (module.id(), key.split('/').next().unwrap_or_default());
    let fix = if service.kind == ServiceKind::ClusterIp {
        Fix::safe(format!("declare port {number} of `{id}`"))
    } else {
        Fix::ask(format!("declare port {number} of `{id}`, which opens it to the outside too"))
    };
    module.set_option(fix, &["ExposedPorts", key], json!({}))
}

/// `serviceOptions.type` where it is one; else the cluster's own without `PortBindings`, and the device's default with
/// them, which is a load balancer (ASE-PS, ASE-TS; the agent's own default, `ClusterIP`, is overridden there).
fn kind(module: Module<'_>) -> ServiceKind {
    let asked = module.option(&SERVICE_TYPE).and_then(At::as_str).and_then(ServiceKind::parse);
    asked.unwrap_or_else(|| match module.option(&["HostConfig", "PortBindings"]) {
        Some(map) if map.kind() != Kind::Null => ServiceKind::LoadBalancer,
        _ => ServiceKind::ClusterIp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    fn service(options: &str, judge: impl Fn(Service<'_>)) {
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        judge(Service::of(manifest.modules().next().unwrap()));
    }

    #[test]
    fn exposed_ports_stay_inside_and_host_ports_go_outside() {
        service(r#"{"ExposedPorts": {"80/tcp": {}}}"#, |service| {
            assert_eq!(service.kind, ServiceKind::ClusterIp);
            assert!(service.may_listen(80) && !service.may_listen(8080));
        });
        service(r#"{"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}"#, |service| {
            assert_eq!(service.kind, ServiceKind::LoadBalancer);
            assert!(service.may_listen(8080) && !service.may_listen(80));
        });
        let inside = r#"{"HostConfig": {"PortBindings": {"80": [{"HostPort": 80}]}},
            "k8s-experimental": {"ServiceOptions": {"Type": "clusterip"}}}"#;
        service(inside, |service| assert_eq!(service.kind, ServiceKind::ClusterIp));
        service(r#"{"HostConfig": {"PortBindings": {}}}"#, |service| {
            assert_eq!(service.kind, ServiceKind::LoadBalancer);
            assert!(service.ports.is_empty());
        });
    }

    #[test]
    fn one_number_is_one_port() {
        let options = r#"{"ExposedPorts": {"53/udp": {}, "99/http": {}, "0/tcp": {}},
            "HostConfig": {"PortBindings": {"53/tcp": [{"HostPort": "53"}]}}}"#;
        service(options, |service| {
            assert_eq!(service.ports.len(), 2);
            assert_eq!(service.listening()[&53].protocol, Protocol::Tcp);
        });
    }

    #[test]
    fn a_placeholder_may_be_any_port() {
        service(r#"{"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "${PORT}"}]}}}"#, |service| {
            assert!(service.ports.is_empty() && service.may_listen(80));
        });
        service(r#"{"ExposedPorts": {"${PORT}/tcp": {}}}"#, |service| assert!(service.may_listen(80)));
    }
}
