//! What the API server of Kubernetes 1.20 refuses about the objects that the agent creates (`kubernetes-observed.md`, what
//! the API server accepts and refuses; K8S-VAL `validation.go`). Covers what such objects can have, not all of Kubernetes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::names::is_env_name;
use super::quantity::thousandths;
use super::resources::{is_extended, is_standard};

/// The most that all annotations of an object may have, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The most that a label, and the value of one, may have.
const MAX_LABEL: usize = 63;

/// The most that a DNS name may have.
const MAX_DOMAIN: usize = 253;

/// One thing that the API server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field, as the API server names it: `spec.template.spec.containers[1].env[0].name`; empty where the object
    /// cannot be read at all.
    pub field: String,
    /// Why, in words that go on after the field.
    pub because: String,
}

/// What the API server refuses about `object`: a `ServiceAccount`, Secret, Service, Deployment or `PersistentVolumeClaim`.
/// Nothing is said about other kinds.
pub fn refusals(object: &Value) -> Vec<Refusal> {
    let mut found = Refusals::default();
    let kind = text(object, "/kind");
    found.metadata(object, kind);
    match kind {
        "Deployment" => found.deployment(&object["spec"]),
        "Service" => found.service(&object["spec"]),
        "PersistentVolumeClaim" => {
            if let Some(size) = object.pointer("/spec/resources/requests/storage") {
                found.claim_size(size);
            }
        }
        _ => {}
    }
    found.0
}

/// Whether `name` is a DNS label as containers and volumes have it (RFC 1123).
fn is_label(name: &str) -> bool {
    (1..=MAX_LABEL).contains(&name.len())
        && is_framed(name, |c| c == '-', |c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Whether `name` is a DNS label as Services have it (RFC 1035): with a letter in front.
fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| is_framed(part, |c| c == '-', |c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= MAX_DOMAIN && name.split('.').all(part)
}

/// Whether `name` is the name part of a label's or annotation's key, or the value of a label.
fn is_qualified_part(name: &str) -> bool {
    let is_inner = |c| matches!(c, '-' | '_' | '.');
    (1..=MAX_LABEL).contains(&name.len()) && is_framed(name, is_inner, |c| c.is_ascii_alphanumeric())
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        None => is_qualified_part(key),
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified_part(name),
    }
}

/// Whether `name` is made of `edge` characters, with `inner` ones inside only.
fn is_framed(name: &str, inner: impl Fn(char) -> bool, edge: impl Fn(char) -> bool) -> bool {
    name.starts_with(&edge) && name.ends_with(&edge) && name.chars().all(|c| edge(c) || inner(c))
}

#[derive(Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, field: impl Into<String>, because: impl Into<String>) {
        self.0.push(Refusal { field: field.into(), because: because.into() });
    }

    fn metadata(&mut self, object: &Value, kind: &str) {
        let name = text(object, "/metadata/name");
        let fits = if kind == "Service" { is_service_name(name) } else { is_subdomain(name) };
        if !fits {
            self.add("metadata.name", format!("`{name}` is no name of a {kind}"));
        }
        self.annotations(&object["metadata"], "metadata.annotations");
        self.labels(&object["metadata"]["labels"], "metadata.labels");
    }

    fn annotations(&mut self, metadata: &Value, field: &str) {
        let mut size = 0;
        for (key, value) in members(&metadata["annotations"]) {
            // The key is judged in lower case.
            if !is_qualified(&key.to_ascii_lowercase()) {
                self.add(field, format!("`{key}` is no key of an annotation"));
            }
            size += key.len() + value.as_str().map_or(0, str::len);
        }
        if size > MAX_ANNOTATIONS {
            self.add(field, format!("annotations of {size} bytes, more than {MAX_ANNOTATIONS}"));
        }
    }

    fn labels(&mut self, labels: &Value, field: &str) {
        for (key, value) in members(labels) {
            let value = value.as_str().unwrap_or_default();
            if !is_qualified(key) {
                self.add(field, format!("`{key}` is no key of a label"));
            }
            if !value.is_empty() && !is_qualified_part(value) {
                self.add(field, format!("`{value}` is no value of a label"));
            }
        }
    }

    fn deployment(&mut self, spec: &Value) {
        let selector = &spec["selector"]["matchLabels"];
        let before = self.0.len();
        self.labels(selector, "spec.selector.matchLabels");
        if self.0.len() > before {
            self.add("spec.selector", "cannot be used");
        }
        let strategy = &spec["strategy"];
        let rolling = strategy.get("rollingUpdate").is_some_and(|rolling| !rolling.is_null());
        match strategy["type"].as_str().unwrap_or_default() {
            "Recreate" if rolling => self.add("spec.strategy.rollingUpdate", "may not be given with Recreate"),
            "" | "Recreate" | "RollingUpdate" => {}
            other => self.add("spec.strategy", format!("`{other}` is no strategy: Recreate or RollingUpdate")),
        }
        let template = &spec["template"];
        self.labels(&template["metadata"]["labels"], "spec.template.labels");
        self.annotations(&template["metadata"], "spec.template.annotations");
        self.pod(&template["spec"]);
    }

    fn pod(&mut self, pod: &Value) {
        let base = "spec.template.spec";
        let mut volumes = HashSet::new();
        for (i, volume) in items(&pod["volumes"]).enumerate() {
            let field = format!("{base}.volumes[{i}]");
            self.volume(volume, &field, &mut volumes);
        }
        let host_network = pod["hostNetwork"].as_bool().unwrap_or(false);
        let mut names = HashSet::new();
        let mut host_ports = HashSet::new();
        for (i, container) in items(&pod["containers"]).enumerate() {
            let field = format!("{base}.containers[{i}]");
            let name = text(container, "/name");
            if !is_label(name) {
                self.add(format!("{field}.name"), format!("`{name}` is no name of a container"));
            } else if !names.insert(name) {
                self.add(format!("{field}.name"), format!("`{name}` is the name of another container"));
            }
            if text(container, "/image").is_empty() {
                self.add(format!("{field}.image"), "there is no image");
            }
            self.ports(container, &field, host_network.then_some(&mut host_ports));
            for (j, env) in items(&container["env"]).enumerate() {
                let name = text(env, "/name");
                if !is_env_name(name) || matches!(name, "." | "..") || name.starts_with("..") {
                    self.add(format!("{field}.env[{j}].name"), format!("`{name}` is no name of a variable"));
                }
            }
            self.mounts(container, &field, &volumes);
            self.resources(&container["resources"], &format!("{field}.resources"));
        }
        self.labels(&pod["nodeSelector"], &format!("{base}.nodeSelector"));
        for key in ["runAsUser", "runAsGroup", "fsGroup"] {
            if pod["securityContext"][key].as_i64().is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
                self.add(format!("{base}.securityContext.{key}"), "is no id of a user or group");
            }
        }
        let account = text(pod, "/serviceAccountName");
        if !account.is_empty() && !is_subdomain(account) {
            self.add(format!("{base}.serviceAccountName"), format!("`{account}` is no name of a ServiceAccount"));
        }
    }

    fn volume<'v>(&mut self, volume: &'v Value, field: &str, names: &mut HashSet<&'v str>) {
        let name = text(volume, "/name");
        if !is_label(name) {
            self.add(format!("{field}.name"), format!("`{name}` is no name of a volume"));
        } else if !names.insert(name) {
            self.add(format!("{field}.name"), format!("`{name}` is the name of another volume"));
        }
        let sources: Vec<&str> =
            members(volume).filter(|(key, source)| *key != "name" && !source.is_null()).map(|(key, _)| key).collect();
        match sources.as_slice() {
            [] => self.add(field, "a volume needs a source"),
            [_] => {}
            [_, second, ..] => self.add(format!("{field}.{second}"), "a volume has one source"),
        }
        if let Some(path) = volume.get("hostPath") {
            let path = text(path, "/path");
            if path.is_empty() {
                self.add(format!("{field}.hostPath.path"), "there is no path");
            } else if path.split('/').any(|step| step == "..") {
                self.add(format!("{field}.hostPath.path"), format!("`{path}` has `..` in it"));
            }
        }
        for (source, key) in [("configMap", "name"), ("persistentVolumeClaim", "claimName"), ("secret", "secretName")] {
            if volume.get(source).is_some_and(|source| source[key].as_str().unwrap_or_default().is_empty()) {
                self.add(format!("{field}.{source}.{key}"), "there is no name");
            }
        }
    }

    /// `host_ports` where the pod has the node's network, and each port is one of the node's.
    fn ports(&mut self, container: &Value, field: &str, mut host_ports: Option<&mut HashSet<(String, i64)>>) {
        for (i, port) in items(&container["ports"]).enumerate() {
            let field = format!("{field}.ports[{i}]");
            let number = port["containerPort"].as_i64().unwrap_or(0);
            if number == 0 {
                self.add(format!("{field}.containerPort"), "there is no port");
            } else if !is_port(number) {
                self.add(format!("{field}.containerPort"), format!("{number} is no port"));
            }
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
            self.protocol(&protocol, &field);
            if let Some(ports) = host_ports.as_mut()
                && is_port(number)
                && !ports.insert((protocol, number))
            {
                self.add(format!("{field}.hostPort"), format!("{number} is a port of the node already"));
            }
        }
    }

    fn protocol(&mut self, protocol: &str, field: &str) {
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            self.add(format!("{field}.protocol"), format!("`{protocol}` is no protocol: TCP, UDP or SCTP"));
        }
    }

    fn mounts(&mut self, container: &Value, field: &str, volumes: &HashSet<&str>) {
        let mut paths = HashSet::new();
        for (i, mount) in items(&container["volumeMounts"]).enumerate() {
            let field = format!("{field}.volumeMounts[{i}]");
            let (name, path) = (text(mount, "/name"), text(mount, "/mountPath"));
            if name.is_empty() {
                self.add(format!("{field}.name"), "there is no name");
            } else if !volumes.contains(name) {
                self.add(format!("{field}.name"), format!("there is no volume `{name}`"));
            }
            if path.is_empty() {
                self.add(format!("{field}.mountPath"), "there is no path");
            }
            if !paths.insert(path) {
                self.add(format!("{field}.mountPath"), format!("`{path}` has another mount"));
            }
            let sub = text(mount, "/subPath");
            if sub.starts_with('/') || sub.split('/').any(|step| step == "..") {
                self.add(format!("{field}.subPath"), format!("`{sub}` is absolute or has `..` in it"));
            }
        }
    }

    fn resources(&mut self, resources: &Value, field: &str) {
        let mut amounts: BTreeMap<(&str, &str), i128> = BTreeMap::new();
        for part in ["limits", "requests"] {
            for (name, amount) in members(&resources[part]) {
                let of = format!("{field}.{part}[{name}]");
                let Some(amount) = quantity(amount) else {
                    self.add("", format!("the quantity of {part}.{name} cannot be read"));
                    continue;
                };
                if !is_standard(name) && !is_extended(name) {
                    self.add(of.clone(), format!("`{name}` is no resource: it has no domain"));
                }
                if amount < 0 {
                    self.add(of, "is less than nothing");
                } else if is_extended(name) && amount % 1000 != 0 {
                    self.add(of, "must be a whole number");
                }
                amounts.insert((part, name), amount);
            }
        }
        for (name, _) in members(&resources["requests"]) {
            let Some(request) = amounts.get(&("requests", name)) else { continue };
            match amounts.get(&("limits", name)) {
                None if is_extended(name) => {
                    self.add(format!("{field}.limits"), format!("`{name}` needs a limit, not a request alone"));
                }
                Some(limit) if is_extended(name) && limit != request => {
                    self.add(format!("{field}.requests"), format!("the request for {name} must equal its limit"));
                }
                Some(limit) if request > limit => {
                    self.add(format!("{field}.requests"), format!("more {name} than the limit"));
                }
                _ => {}
            }
        }
    }

    fn service(&mut self, spec: &Value) {
        let kind = spec["type"].as_str().unwrap_or("ClusterIP");
        let mut names = HashSet::new();
        let mut ports: HashMap<(&str, i64), usize> = HashMap::new();
        let mut protocols = HashSet::new();
        let mut late = Vec::new();
        for (i, port) in items(&spec["ports"]).enumerate() {
            let field = format!("spec.ports[{i}]");
            let (name, number) = (text(port, "/name"), port["port"].as_i64().unwrap_or(0));
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            if !name.is_empty() && !is_label(name) {
                self.add(format!("{field}.name"), format!("`{name}` is no name of a port"));
            } else if !name.is_empty() && !names.insert(name) {
                self.add(format!("{field}.name"), format!("`{name}` is the name of another port"));
            }
            if !is_port(number) {
                self.add(format!("{field}.port"), format!("{number} is no port"));
            }
            // An unset target is the port itself, and so is 0.
            let target = port["targetPort"].as_i64().filter(|target| *target != 0).unwrap_or(number);
            if port["targetPort"].as_str().is_none() && !is_port(target) {
                self.add(format!("{field}.targetPort"), format!("{target} is no port"));
            }
            self.protocol(protocol, &field);
            protocols.insert(protocol);
            if ports.insert((protocol, number), i).is_some() {
                late.push((field, format!("{number}/{protocol} is there already")));
            }
        }
        for (field, because) in late {
            self.add(field, because);
        }
        if kind == "LoadBalancer" && protocols.len() > 1 {
            self.add("spec.ports", "a load balancer takes one protocol");
        }
        self.labels(&spec["selector"], "spec.selector");
    }

    fn claim_size(&mut self, size: &Value) {
        match quantity(size) {
            None => self.add("", "the size of the claim cannot be read"),
            Some(size) if size <= 0 => self.add("spec.resources[storage]", "must be more than nothing"),
            Some(_) => {}
        }
    }
}

fn is_port(number: i64) -> bool {
    (1..=65_535).contains(&number)
}

/// What a quantity stands for, in thousandths.
fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => thousandths(text),
        Value::Number(number) => thousandths(&number.to_string()),
        _ => None,
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn members(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    map.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(object: &Value) -> Vec<String> {
        refusals(object).into_iter().map(|refusal| refusal.field).collect()
    }

    #[test]
    fn a_service_needs_a_letter_in_front_and_a_load_balancer_one_protocol() {
        let service = |name: &str, kind: &str| {
            json!({ "kind": "Service", "metadata": { "name": name }, "spec": { "type": kind, "ports": [
                { "name": "a", "port": 53, "protocol": "TCP" }, { "name": "b", "port": 53, "protocol": "UDP" }] } })
        };
        assert_eq!(fields(&service("1m", "ClusterIP")), ["metadata.name"]);
        assert_eq!(fields(&service("m", "LoadBalancer")), ["spec.ports"]);
        assert!(fields(&service("m", "NodePort")).is_empty());
    }

    #[test]
    fn a_pod_is_refused_field_by_field() {
        let pod = json!({ "kind": "Deployment", "metadata": { "name": "m" }, "spec": { "template": { "spec": {
            "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "v", "hostPath": { "path": "/a/.." } }, { "name": "w" }],
            "containers": [{ "name": "proxy", "image": "a" }, { "name": "proxy", "image": "b",
                "env": [{ "name": "a:b" }],
                "volumeMounts": [{ "name": "x", "mountPath": "/m" }],
                "resources": { "requests": { "nvidia.com/gpu": "1" }, "limits": { "gpu": 1, "memory": "1MB" } } }] } } } });
        let base = "spec.template.spec";
        assert_eq!(
            fields(&pod),
            [
                format!("{base}.volumes[1].name"),
                format!("{base}.volumes[1].hostPath.path"),
                format!("{base}.volumes[2]"),
                format!("{base}.containers[1].name"),
                format!("{base}.containers[1].env[0].name"),
                format!("{base}.containers[1].volumeMounts[0].name"),
                format!("{base}.containers[1].resources.limits[gpu]"),
                String::new(),
                format!("{base}.containers[1].resources.limits"),
            ]
        );
    }
}
