//! What the API server of Kubernetes 1.20 refuses about the objects that the agent creates (`kubernetes-observed.md`, what
//! the API server accepts and refuses; K8S-VAL `validation.go`). Covers what such objects can have, not all of Kubernetes.

mod name;
mod pod;
mod resources;
mod service;
mod volume;

use serde_json::Value;

pub(crate) use self::name::is_qualified;
use self::name::{is_label_value, is_service_name, is_subdomain};
pub(crate) use self::service::KUBELET_PORT;
use super::quantity::thousandths;

/// The most that all annotations of an object may have, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Maps of resources to amounts, wherever they stand.
const AMOUNTS: [&str; 2] = ["limits", "requests"];

/// Single amounts, wherever they stand.
const AMOUNT: [&str; 2] = ["sizeLimit", "divisor"];

/// One thing that the API server refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field, as the API server names it: `spec.template.spec.containers[1].env[0].name`; empty where the object
    /// cannot be read at all.
    pub field: String,
    /// The field at fault, for whoever looks for it in the object. Mostly `field` itself, which leaves out indices
    /// here and there, and keys of maps.
    pub place: String,
    /// Why, in words that go on after the field.
    pub because: String,
    /// Whether it goes away with another refusal of the same object.
    pub follows: bool,
}

/// What the API server refuses about `object`: a `ServiceAccount`, Secret, Service, Deployment or `PersistentVolumeClaim`.
/// Nothing is said about other kinds.
pub fn refusals(object: &Value) -> Vec<Refusal> {
    let mut found = Refusals::default();
    // What cannot be read is not looked at any further.
    found.unreadable(object, "");
    if found.0.is_empty() {
        let kind = text(object, "/kind");
        found.metadata(object, kind);
        match kind {
            "Deployment" => found.deployment(&object["spec"]),
            "Service" => found.service(object),
            "PersistentVolumeClaim" => found.claim(&object["spec"]),
            _ => {}
        }
    }
    found.0
}

#[derive(Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, field: impl Into<String>, because: impl Into<String>) {
        let field = field.into();
        self.add_at(field.clone(), field, because);
    }

    /// Where the API server names `field`, but `place` is meant.
    fn add_at(&mut self, field: impl Into<String>, place: impl Into<String>, because: impl Into<String>) {
        let (field, place, because) = (field.into(), place.into(), because.into());
        self.0.push(Refusal { field, place, because, follows: false });
    }

    /// Something that is refused because of something else that is.
    fn follow(&mut self, field: impl Into<String>, because: impl Into<String>) {
        self.add(field, because);
        if let Some(last) = self.0.last_mut() {
            last.follows = true;
        }
    }

    /// Amounts that are none. Everything else has the type that it must have, or the agent would not have read it.
    fn unreadable(&mut self, value: &Value, place: &str) {
        match value {
            Value::Array(list) => {
                for (i, item) in list.iter().enumerate() {
                    self.unreadable(item, &format!("{place}[{i}]"));
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    if value.is_object() && AMOUNTS.contains(&key.as_str()) {
                        for (name, amount) in members(value) {
                            self.amount(amount, || format!("{place}.{key}[{name}]"));
                        }
                    } else if AMOUNT.contains(&key.as_str()) {
                        self.amount(value, || format!("{place}.{key}"));
                    } else if value.is_object() || value.is_array() {
                        let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                        self.unreadable(value, &place);
                    }
                }
            }
            _ => {}
        }
    }

    fn amount(&mut self, amount: &Value, place: impl Fn() -> String) {
        if !amount.is_null() && quantity(amount).is_none() {
            self.add_at("", place(), format!("{amount} is no amount"));
        }
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
                self.add_at(field, format!("{field}[{key}]"), format!("`{key}` is no key of an annotation"));
            }
            size += key.len() + value.as_str().map_or(0, str::len);
        }
        if size > MAX_ANNOTATIONS {
            self.add(field, format!("keys and values have more than {MAX_ANNOTATIONS} bytes together"));
        }
    }

    fn labels(&mut self, labels: &Value, field: &str) {
        for (key, value) in members(labels) {
            let value = value.as_str().unwrap_or_default();
            let place = || format!("{field}[{key}]");
            if !is_qualified(key) {
                self.add_at(field, place(), format!("`{key}` is no key of a label"));
            }
            if !is_label_value(value) {
                self.add_at(field, place(), format!("`{value}` is no value of a label"));
            }
        }
    }

    fn claim(&mut self, spec: &Value) {
        let size = spec.pointer("/resources/requests/storage").and_then(quantity);
        if size.is_some_and(|size| size <= 0) {
            self.add("spec.resources[storage]", "must be more than nothing");
        }
        let class = text(spec, "/storageClassName");
        if !class.is_empty() && !is_subdomain(class) {
            self.add("spec.storageClassName", format!("`{class}` is no name of a storage class"));
        }
    }

    /// A number that has to lie in `range`.
    fn range(&mut self, value: &Value, field: &str, range: std::ops::RangeInclusive<i64>) {
        if let Some(number) = value.as_i64().filter(|number| !range.contains(number)) {
            self.add(field, format!("{number} is not from {} to {}", range.start(), range.end()));
        }
    }

    /// Text that has to be there.
    fn required<'v>(&mut self, value: &'v Value, field: &str) -> &'v str {
        let text = value.as_str().unwrap_or_default();
        if text.is_empty() {
            self.add(field, "is missing or empty");
        }
        text
    }

    fn one_of(&mut self, value: &Value, field: &str, known: &[&str]) {
        if let Some(text) = value.as_str().filter(|text| !known.contains(text)) {
            self.add(field, format!("`{text}` is none of {}", known.join(", ")));
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
            "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "v", "hostPath": { "path": "/a/.." } }, { "name": "w", "nfs": {} }],
            "containers": [{ "name": "proxy", "image": "a" }, { "name": "proxy", "image": "b",
                "env": [{ "name": "a:b" }],
                "volumeMounts": [{ "name": "x", "mountPath": "/m" }],
                "resources": { "requests": { "nvidia.com/gpu": "1" }, "limits": { "gpu": 1 } } }] } } } });
        let base = "spec.template.spec";
        assert_eq!(
            fields(&pod),
            [
                format!("{base}.volumes[1].hostPath.path"),
                format!("{base}.volumes[1].name"),
                format!("{base}.volumes[2].nfs.server"),
                format!("{base}.volumes[2].nfs.path"),
                format!("{base}.containers[1].name"),
                format!("{base}.containers[1].env[0].name"),
                format!("{base}.containers[1].volumeMounts[0].name"),
                format!("{base}.containers[1].resources.limits[gpu]"),
                format!("{base}.containers[1].resources.limits"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_all_that_is_said() {
        let pod = json!({ "kind": "Deployment", "metadata": { "name": "-" }, "spec": { "template": { "spec": {
            "containers": [{ "resources": { "limits": { "memory": "1MB", "cpu": 1 } } }] } } } });
        let refusals = refusals(&pod);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
        assert_eq!(refusals[0].field, "");
        assert_eq!(refusals[0].place, "spec.template.spec.containers[0].resources.limits[memory]");
    }

    #[test]
    fn a_claim_has_a_size() {
        let claim = |size: &str| {
            json!({ "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
                "spec": { "resources": { "requests": { "storage": size } } } })
        };
        assert_eq!(fields(&claim("0Mi")), ["spec.resources[storage]"]);
        assert!(fields(&claim("1Mi")).is_empty());
    }
}
