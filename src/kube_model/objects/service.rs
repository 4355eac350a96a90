//! The Service of a module (`k8s-translation.md` §3, classes `KubernetesServiceMapper` and `PortExtensions`).

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::{AgentSettings, ServiceKind};
use super::parameters::Parameters;
use super::{Fault, FaultKind, Labels, Stage, creation_string, metadata};
use crate::manifest::Protocol;
use crate::target::Agent;
use crate::text::{At, Kind};

/// Where a port of a Service stands.
#[derive(Clone, Copy)]
pub(super) struct ServicePlace<'m> {
    /// The member whose key is the container's port.
    pub(super) key: At<'m>,
    /// The host port.
    pub(super) host: Option<At<'m>>,
}

/// The Service of a module; none where it has no port.
///
/// # Errors
/// A Docker label becomes no annotation, a port is bound to null, or a key is made of slashes alone.
pub fn service(
    parameters: &Parameters<'_>,
    labels: &Labels,
    settings: &AgentSettings,
) -> Result<Option<Service>, Box<Fault>> {
    let annotations = parameters.annotations(Stage::Services)?;
    let ports: Vec<ServicePort> = ports(parameters, settings.agent)?.into_iter().map(|(port, _)| port).collect();
    if ports.is_empty() {
        return Ok(None);
    }
    let bindings = parameters.host_option("PortBindings");
    let options = parameters.extensions.as_ref().and_then(|extensions| extensions.service_options.as_ref());
    let asked = options.and_then(|options| options.kind);
    let default = if bindings.is_some() { settings.port_mapping } else { ServiceKind::ClusterIp };
    let mut service = Service {
        metadata: metadata(&parameters.name, labels, Some(annotations).filter(|all| !all.is_empty()), settings),
        spec: Some(ServiceSpec {
            type_: Some(asked.unwrap_or(default).word().to_owned()),
            load_balancer_ip: options.and_then(|options| options.address.clone()),
            ports: Some(ports),
            selector: Some(labels.clone()),
            ..Default::default()
        }),
        status: None,
    };
    let (key, value) = creation_string(&service);
    service.metadata.annotations.get_or_insert_default().insert(key, value);
    Ok(Some(service))
}

/// The ports of the Service, with their places: the key of an exposed port, the value of a host port.
///
/// # Errors
/// A port is bound to null, or a key is made of slashes alone.
pub(super) fn ports<'m>(
    parameters: &Parameters<'m>,
    agent: Agent,
) -> Result<Vec<(ServicePort, ServicePlace<'m>)>, Box<Fault>> {
    let mut ports: Vec<(ServicePort, ServicePlace<'m>)> = Vec::new();
    // One number is one port, and the later one stays, in the place of the first.
    let mut put = |port: ServicePort, at| match ports.iter_mut().find(|(there, _)| there.port == port.port) {
        Some(there) => *there = (port, at),
        None => ports.push((port, at)),
    };
    for (number, protocol, at) in exposed(parameters, agent) {
        put(port("exposedport", number, protocol, number, None), ServicePlace { key: at, host: None });
    }
    let exposed_map = parameters.module.option(&["ExposedPorts"]);
    let bound_map = parameters.host_option("PortBindings");
    let fault = |kind, at, message| Err(Box::new(Fault::new(parameters.module, Stage::Services, kind, at, message)));
    // The agent takes the first part of a key for the number, and here there is none.
    let mut members = exposed_map.into_iter().chain(bound_map).flat_map(At::members);
    if let Some(at) = members.find(|at| agent >= Agent::beta(10) && at.key().is_some_and(is_all_slashes)) {
        return fault(FaultKind::IndexOutOfRange, at, "the port is made of slashes alone");
    }
    for at in bound_map.into_iter().flat_map(At::members) {
        let Some((container, protocol)) = at.key().and_then(|key| port_key(key, agent)) else { continue };
        if at.kind() == Kind::Null {
            return fault(FaultKind::Argument, at, "the port is bound to null");
        }
        if let Some(item) = at.items().find(|item| item.kind() == Kind::Null) {
            return fault(FaultKind::NullReference, item, "a host port is null");
        }
        for item in at.items() {
            let host_at = item.get_ignoring_case("HostPort");
            let host = host_at.and_then(At::as_text).and_then(|text| text.trim().parse().ok());
            if let Some(host) = host {
                let place = ServicePlace { key: at, host: host_at };
                put(port("hostport", container, protocol, host, Some(IntOrString::Int(container))), place);
            }
        }
    }
    Ok(ports)
}

/// The ports of `ExposedPorts` that are some, with their places.
pub(super) fn exposed<'m>(parameters: &Parameters<'m>, agent: Agent) -> Vec<(i32, Protocol, At<'m>)> {
    let map = parameters.module.option(&["ExposedPorts"]);
    let ports = map.into_iter().flat_map(At::members);
    ports.filter_map(|at| port_key(at.key()?, agent).map(|(number, protocol)| (number, protocol, at))).collect()
}

/// A port key as the agent reads it: any number that fits 32 bits, and a protocol, TCP where none is given, which beta10
/// brought. `None` where the agent drops it.
pub fn port_key(key: &str, agent: Agent) -> Option<(i32, Protocol)> {
    let mut parts = key.split('/').filter(|part| !part.is_empty());
    let number = parts.next()?.trim().parse().ok()?;
    let protocol = match parts.next() {
        None if agent >= Agent::beta(10) => Protocol::Tcp,
        None => return None,
        Some(word) => [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.word().eq_ignore_ascii_case(word))?,
    };
    parts.next().is_none().then_some((number, protocol))
}

fn is_all_slashes(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte == b'/')
}

fn port(origin: &str, container: i32, protocol: Protocol, number: i32, target: Option<IntOrString>) -> ServicePort {
    ServicePort {
        name: Some(format!("{origin}-{container}-{}", protocol.word())),
        port: number,
        protocol: Some(protocol.word().to_ascii_uppercase()),
        target_port: target,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// Type, address and ports of the Service that comes of `options`; a port as name, number, protocol and target.
    type Made = Option<(String, Option<String>, Vec<String>)>;

    fn made(options: &str) -> Made {
        let settings = AgentSettings { port_mapping: ServiceKind::NodePort, ..AgentSettings::default() };
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        let parameters = Parameters::read(manifest.modules().next().unwrap(), &settings).unwrap();
        let spec = service(&parameters, &Labels::new(), &settings).unwrap()?.spec.unwrap();
        let ports = spec.ports.unwrap().into_iter().map(|port| {
            let target = match port.target_port {
                Some(IntOrString::Int(target)) => target.to_string(),
                _ => "-".to_owned(),
            };
            format!("{} {} {} {target}", port.name.unwrap(), port.port, port.protocol.unwrap())
        });
        Some((spec.type_.unwrap(), spec.load_balancer_ip, ports.collect()))
    }

    fn type_of(options: &str) -> String {
        made(options).unwrap().0
    }

    #[test]
    fn protocols_are_mixed_in_one_service() {
        let options = r#"{"ExposedPorts": {"53/UDP": {}, "80": {}, "9/sctp": {}},
            "HostConfig": {"PortBindings": {"5000/tcp": [{"HostPort": "50"}], "5000/udp": [{"HostPort": 51}]}}}"#;
        let ports = [
            "exposedport-53-udp 53 UDP -",
            "exposedport-80-tcp 80 TCP -",
            "exposedport-9-sctp 9 SCTP -",
            "hostport-5000-tcp 50 TCP 5000",
            "hostport-5000-udp 51 UDP 5000",
        ];
        assert_eq!(made(options), Some(("NodePort".to_owned(), None, ports.map(str::to_owned).to_vec())));
    }

    #[test]
    fn of_two_ports_with_one_number_the_later_stays_whatever_its_protocol() {
        let ports = |options: &str| made(options).unwrap().2;
        assert_eq!(ports(r#"{"ExposedPorts": {"53/tcp": {}, "53/udp": {}}}"#), ["exposedport-53-udp 53 UDP -"]);
        let bound = r#"{"ExposedPorts": {"53/udp": {}, "8080/tcp": {}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "53"}]}}}"#;
        assert_eq!(ports(bound), ["hostport-80-tcp 53 TCP 80", "exposedport-8080-tcp 8080 TCP -"]);
    }

    #[test]
    fn what_is_no_port_is_dropped() {
        let options = r#"{"ExposedPorts": {"8000-8010/tcp": {}, "80/http": {}, "1/tcp/x": {}},
            "HostConfig": {"PortBindings": {"80/tcp": [{}, {"HostPort": ""}, {"HostPort": "x"}], "y": [{"HostPort": "1"}]}}}"#;
        assert_eq!(made(options), None);
    }

    #[test]
    fn the_type_is_what_the_module_asks_for_or_what_its_bindings_mean() {
        assert_eq!(type_of(r#"{"ExposedPorts": {"80": {}}}"#), "ClusterIP");
        assert_eq!(type_of(r#"{"ExposedPorts": {"80": {}}, "HostConfig": {"PortBindings": null}}"#), "ClusterIP");
        // Bindings that are empty are bindings.
        assert_eq!(type_of(r#"{"ExposedPorts": {"80": {}}, "HostConfig": {"PortBindings": {}}}"#), "NodePort");
        let asked = |options: &str| {
            made(&format!(
                r#"{{"HostConfig": {{"PortBindings": {{"53/udp": [{{"HostPort": "53"}}], "80/tcp": [{{"HostPort": "80"}}]}}}},
                "k8s-experimental": {{"serviceOptions": {options}}}}}"#
            ))
        };
        for (options, kind, address) in [
            (r#"{"type": "loadbalancer"}"#, "LoadBalancer", None),
            (r#"{"Type": "CLUSTERIP", "loadBalancerIP": "10.0.0.9"}"#, "ClusterIP", Some("10.0.0.9")),
            (r#"{"type": 1, "loadbalancerip": "no address"}"#, "LoadBalancer", Some("no address")),
            (r#"{"type": "ExternalName"}"#, "NodePort", None),
            ("{}", "NodePort", None),
            ("null", "NodePort", None),
        ] {
            let (found, given, ports) = asked(options).unwrap();
            assert_eq!((found.as_str(), given.as_deref(), ports.len()), (kind, address, 2), "{options}");
        }
    }
}
