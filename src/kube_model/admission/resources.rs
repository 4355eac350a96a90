//! What a container may ask of its node (K8S-VAL `ValidateResourceRequirements`).

use serde_json::Value;

use super::super::quantity::nanos;
use super::super::resources::{is_container_resource, is_extended, is_huge_pages};
use super::{Refusals, members, quantity};

impl Refusals {
    pub(super) fn resources(&mut self, resources: &Value, field: &str) {
        for part in ["limits", "requests"] {
            for (name, amount) in members(&resources[part]) {
                self.resource(name, amount, &format!("{field}.{part}[{name}]"));
            }
        }
        // What is given out by the piece is not lent: a request for it is the limit.
        let by_piece = |name: &str| is_extended(name) || is_huge_pages(name);
        for (name, request) in members(&resources["requests"]) {
            let place = format!("{field}.requests[{name}]");
            match resources["limits"].get(name) {
                None if by_piece(name) => {
                    self.add_at(
                        format!("{field}.limits"),
                        place,
                        format!("`{name}` needs a limit, not a request alone"),
                    );
                }
                Some(limit) if by_piece(name) && exactly(limit) != exactly(request) => {
                    self.add_at(
                        format!("{field}.requests"),
                        place,
                        format!("the request for {name} must equal its limit"),
                    );
                }
                Some(limit) if exactly(request) > exactly(limit) => {
                    self.add_at(format!("{field}.requests"), place, format!("more {name} than the limit"));
                }
                _ => {}
            }
        }
        let all =
            || ["limits", "requests"].into_iter().flat_map(|part| members(&resources[part])).map(|(name, _)| name);
        let huge = all().find(|name| is_huge_pages(name));
        if let Some(huge) = huge.filter(|_| !all().any(|name| matches!(name, "cpu" | "memory"))) {
            self.add(field, format!("`{huge}` needs a limit or a request for cpu or memory beside it"));
        }
    }

    fn resource(&mut self, name: &str, amount: &Value, field: &str) {
        if !is_container_resource(name) {
            self.add(field, format!("`{name}` is no resource that a container can have"));
        }
        let Some(amount) = quantity(amount) else { return };
        if amount < 0 {
            self.add(field, "is less than nothing");
        }
        if is_extended(name) && amount % 1000 != 0 {
            self.add(field, "must be a whole number");
        }
    }
}

/// An amount to compare with another one.
fn exactly(amount: &Value) -> Option<i128> {
    match amount {
        Value::String(text) => nanos(text),
        amount => nanos(&amount.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(resources: &Value) -> Vec<String> {
        let mut found = Refusals::default();
        found.resources(resources, "r");
        found.0.into_iter().map(|refusal| refusal.field).collect()
    }

    #[test]
    fn what_goes_by_the_piece_is_limited_and_whole() {
        assert!(fields(&json!({ "limits": { "nvidia.com/gpu": "1" } })).is_empty());
        assert_eq!(fields(&json!({ "limits": { "nvidia.com/gpu": "1500m" } })), ["r.limits[nvidia.com/gpu]"]);
        assert_eq!(fields(&json!({ "requests": { "nvidia.com/gpu": "1" } })), ["r.limits"]);
        let unequal = json!({ "limits": { "nvidia.com/gpu": "2" }, "requests": { "nvidia.com/gpu": "1" } });
        assert_eq!(fields(&unequal), ["r.requests"]);
    }

    #[test]
    fn huge_pages_are_by_the_piece_and_not_alone() {
        assert_eq!(fields(&json!({ "limits": { "hugepages-2Mi": "2Mi" } })), ["r"]);
        assert!(fields(&json!({ "limits": { "hugepages-2Mi": "2Mi", "cpu": "1" } })).is_empty());
        assert_eq!(fields(&json!({ "requests": { "hugepages-2Mi": "2Mi", "cpu": "1" } })), ["r.limits"]);
    }

    #[test]
    fn requests_stay_below_limits_to_the_billionth() {
        let of =
            |request: &str, limit: &str| fields(&json!({ "requests": { "cpu": request }, "limits": { "cpu": limit } }));
        assert_eq!(of("1.0000001", "1"), ["r.requests"]);
        assert!(of("1", "1000m").is_empty() && of("0.5", "1").is_empty());
    }

    #[test]
    fn names_are_standard_or_a_vendors() {
        for name in ["gpu", "Memory", "pods", "a b/c", "requests.example.com/x"] {
            assert_eq!(fields(&json!({ "limits": { name: "1" } })), [format!("r.limits[{name}]")]);
        }
        for name in ["memory", "ephemeral-storage", "example/x", "x.kubernetes.io/y"] {
            assert!(fields(&json!({ "limits": { name: "1" } })).is_empty(), "{name}");
        }
    }
}
