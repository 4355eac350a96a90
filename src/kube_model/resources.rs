//! The names of resources that a container may ask for (Kubernetes `validation.go`).

/// Whether `name` is a resource of Kubernetes' own that a container can have.
pub(crate) fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Whether `name` is a resource of a device plugin: its name begins with the domain of a vendor. Such a resource is
/// given out in whole numbers, and a request for it must equal its limit.
pub(crate) fn is_extended(name: &str) -> bool {
    name.split_once('/').is_some_and(|(vendor, _)| !vendor.ends_with("kubernetes.io"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_told_by_their_names() {
        assert!(["cpu", "memory", "hugepages-2Mi"].iter().all(|name| is_standard(name) && !is_extended(name)));
        assert!(["nvidia.com/gpu", "vendor.example/foo"].iter().all(|name| is_extended(name) && !is_standard(name)));
        assert!(["gpu", "Memory", "requests.kubernetes.io/x"].iter().all(|name| !is_extended(name)));
        assert!(!is_standard("gpu"));
    }
}
