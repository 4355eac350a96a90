//! The names of resources that a container may ask for (Kubernetes `validation.go` and `helpers.go`).

use super::admission::is_qualified;

/// What quotas put before the name of a resource, which must be a name with it too.
const QUOTA: &str = "requests.";

/// Whether `name` is a resource of Kubernetes' own that a container can have.
pub(crate) fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_pages(name)
}

/// Whether `name` is memory in large pages, such as `hugepages-2Mi`.
pub(crate) fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether `name` is a resource of a device plugin: its name begins with the domain of a vendor. Such a resource is
/// given out in whole numbers, and a request for it must equal its limit.
pub(crate) fn is_extended(name: &str) -> bool {
    name.contains('/')
        && !name.contains("kubernetes.io/")
        && !name.starts_with(QUOTA)
        && is_qualified(&format!("{QUOTA}{name}"))
}

/// Whether a container can have `name` at all.
pub(crate) fn is_container_resource(name: &str) -> bool {
    if name.contains('/') {
        is_qualified(name) && (name.contains("kubernetes.io/") || is_extended(name))
    } else {
        is_qualified(name) && is_standard(name)
    }
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

    #[test]
    fn what_a_container_can_have_is_standard_native_or_a_vendors() {
        assert!(["cpu", "nvidia.com/gpu", "x.kubernetes.io/y", "example/x"].iter().all(|n| is_container_resource(n)));
        assert!(
            ["gpu", "a b/c", "requests.x/y", "nvidia.com/", "hugepages-2 Mi"].iter().all(|n| !is_container_resource(n))
        );
    }
}
