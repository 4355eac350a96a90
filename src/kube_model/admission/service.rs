//! Services (K8S-VAL `ValidateService`, `validateMixedProtocolLBService`).

use std::collections::HashSet;

use serde_json::Value;

use super::name::is_label;
use super::{Refusals, is_port, items, text};

/// Where the kubelet listens, which no load balancer may pass on.
pub(crate) const KUBELET_PORT: u16 = 10_250;

/// An annotation that says who may use a load balancer: networks with commas between.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

impl Refusals {
    pub(super) fn service(&mut self, object: &Value) {
        let spec = &object["spec"];
        let is_balancer = spec["type"].as_str() == Some("LoadBalancer");
        let ports: Vec<&Value> = items(&spec["ports"]).collect();
        if ports.is_empty() && spec["clusterIP"].as_str() != Some("None") {
            self.add("spec.ports", "there is no port");
        }
        let mut names = HashSet::new();
        for (i, port) in ports.iter().enumerate() {
            let field = format!("spec.ports[{i}]");
            let (name, number) = (text(port, "/name"), port["port"].as_i64().unwrap_or(0));
            if is_balancer && number == i64::from(KUBELET_PORT) {
                let because = format!("{KUBELET_PORT} is the kubelet's, which no load balancer may pass on");
                self.add_at(field.clone(), format!("{field}.port"), because);
            }
            if name.is_empty() && ports.len() > 1 {
                self.add(format!("{field}.name"), "one of several ports needs a name");
            } else if !name.is_empty() {
                if !is_label(name) {
                    self.add(format!("{field}.name"), format!("`{name}` is no name of a port"));
                }
                if !names.insert(name) {
                    self.add(format!("{field}.name"), format!("`{name}` is the name of another port"));
                }
            }
            if !is_port(number) {
                self.add(format!("{field}.port"), format!("{number} is no port"));
            }
            // An unset target is the port itself, and so is 0.
            let given = port["targetPort"].as_i64().filter(|target| *target != 0);
            let because = |target: i64| format!("{target} is no port");
            match given {
                Some(target) if !is_port(target) => self.add(format!("{field}.targetPort"), because(target)),
                None if port["targetPort"].as_str().is_none() && !is_port(number) => {
                    self.follow(format!("{field}.targetPort"), because(number));
                }
                _ => {}
            }
            self.protocol(protocol(port), &field);
        }
        self.labels(&spec["selector"], "spec.selector");
        let mut seen = HashSet::new();
        for (i, port) in ports.iter().enumerate() {
            let number = port["port"].as_i64().unwrap_or(0);
            if !seen.insert((protocol(port), number)) {
                self.add(format!("spec.ports[{i}]"), format!("{number}/{} is there already", protocol(port)));
            }
        }
        self.source_ranges(object, is_balancer);
        if is_balancer
            && let Some(first) = ports.first()
            && let Some(other) = ports.iter().position(|port| protocol(port) != protocol(first))
        {
            let place = format!("spec.ports[{other}]");
            self.add_at("spec.ports", place, "a load balancer takes one protocol");
        }
    }

    pub(super) fn protocol(&mut self, protocol: &str, field: &str) {
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            self.add(format!("{field}.protocol"), format!("`{protocol}` is no protocol: TCP, UDP or SCTP"));
        }
    }

    fn source_ranges(&mut self, object: &Value, is_balancer: bool) {
        let Some(value) = object["metadata"]["annotations"].get(SOURCE_RANGES).and_then(Value::as_str) else { return };
        let field = format!("metadata.annotations[{SOURCE_RANGES}]");
        if !is_balancer {
            self.add(field.clone(), "has no place but on a load balancer");
        }
        let given = value.trim();
        if !given.is_empty() && !given.split(',').all(|range| is_network(range.trim())) {
            self.add(field, format!("`{value}` is no list of networks"));
        }
    }
}

fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

/// Whether `text` is an address with the length of its prefix: `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let longest = match address.parse() {
        Ok(core::net::IpAddr::V4(_)) => 32,
        Ok(core::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.chars().all(|c| c.is_ascii_digit()) && length.parse::<u32>().is_ok_and(|length| length <= longest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(kind: &str, ports: &Value, annotations: &Value) -> Vec<String> {
        let mut found = Refusals::default();
        found.service(&json!({ "metadata": { "annotations": annotations }, "spec": { "type": kind, "ports": ports } }));
        found.0.into_iter().map(|refusal| refusal.field).collect()
    }

    #[test]
    fn the_kubelet_is_not_passed_on() {
        let ports = json!([{ "name": "a", "port": 10_250 }]);
        assert_eq!(fields("LoadBalancer", &ports, &Value::Null), ["spec.ports[0]"]);
        assert!(fields("NodePort", &ports, &Value::Null).is_empty());
    }

    #[test]
    fn networks_belong_to_a_load_balancer() {
        let ports = json!([{ "name": "a", "port": 80 }]);
        let of = |kind, ranges: &str| fields(kind, &ports, &json!({ SOURCE_RANGES: ranges })).len();
        assert_eq!(of("LoadBalancer", "10.0.0.0/8, 10.1.2.0/24"), 0);
        assert_eq!(of("LoadBalancer", "10.0.0.0"), 1);
        assert_eq!(of("ClusterIP", "10.0.0.0/8"), 1);
        assert_eq!(of("ClusterIP", "all"), 2);
    }

    #[test]
    fn a_port_is_in_range_and_named_once() {
        let ports = json!([{ "name": "a", "port": 0 }, { "name": "a", "port": 70_000, "targetPort": 80 }]);
        let expected = ["spec.ports[0].port", "spec.ports[0].targetPort", "spec.ports[1].name", "spec.ports[1].port"];
        assert_eq!(fields("ClusterIP", &ports, &Value::Null), expected);
    }
}
