//! The Service of a module (`k8s-translation.md` §3, classes `KubernetesServiceMapper` and `PortExtensions`).

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::{AgentSettings, ServiceKind};
use super::parameters::Parameters;
use super::{Fault, FaultKind, Labels, Stage, creation_string, metadata};
use crate::manifest::Protocol;
use crate::target::Agent;
use crate::text::{At, Kind};

/// The Service of a module; none where it has no port.
///
/// # Errors
/// A Docker label becomes no annotation, or a port is bound to null.
pub fn service(
    parameters: &Parameters<'_>,
    labels: &Labels,
    settings: &AgentSettings,
) -> Result<Option<Service>, Box<Fault>> {
    let annotations = parameters.annotations(Stage::Services)?;
    let mut ports: Vec<ServicePort> = Vec::new();
    // One number is one port, and the later one stays, in the place of the first.
    let mut put = |port: ServicePort| match ports.iter_mut().find(|there| there.port == port.port) {
        Some(there) => *there = port,
        None => ports.push(port),
    };
    for (number, protocol, _) in exposed(parameters, settings.agent) {
        put(port("exposedport", number, protocol, number, None));
    }
    let bindings = parameters.host_option("PortBindings");
    for at in bindings.into_iter().flat_map(At::members) {
        if at.kind() == Kind::Null {
            let message = "the port is bound to null";
            return Err(Box::new(Fault::new(parameters.module, Stage::Services, FaultKind::Argument, at, message)));
        }
        let Some((container, protocol)) = at.key().and_then(|key| port_key(key, settings.agent)) else { continue };
        for item in at.items() {
            let host =
                item.get_ignoring_case("HostPort").and_then(At::as_text).and_then(|text| text.trim().parse().ok());
            if let Some(host) = host {
                put(port("hostport", container, protocol, host, Some(IntOrString::Int(container))));
            }
        }
    }
    if ports.is_empty() {
        return Ok(None);
    }
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
            .find(|protocol| protocol.word().eq_ignore_ascii_case(word.trim()))?,
    };
    parts.next().is_none().then_some((number, protocol))
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
