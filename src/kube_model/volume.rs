//! Entries of `k8s-experimental.volumes`: a volume of the pod and where the container mounts it.

use serde_json::{Value, json};

/// The longest name of a volume: a DNS label.
const LONGEST_NAME: usize = 63;

/// A directory in memory that lives as long as the pod, mounted at `target`; `size` in bytes where there is a limit.
pub(crate) fn in_memory(name: &str, target: &str, size: Option<u64>) -> Value {
    let mut directory = json!({ "medium": "Memory" });
    if let Some(size) = size {
        directory["sizeLimit"] = super::quantity::memory(size).into();
    }
    entry(name, &directory, target)
}

/// A directory on the node that lives as long as the pod, mounted at `target`.
pub(crate) fn on_disk(name: &str, target: &str) -> Value {
    entry(name, &json!({}), target)
}

fn entry(name: &str, directory: &Value, target: &str) -> Value {
    let mount = json!({ "name": name, "mountPath": target });
    json!({ "volume": { "name": name, "emptyDir": directory }, "volumeMounts": [mount] })
}

/// A name for the volume mounted at `target`: `prefix` and the path, in what a DNS label allows.
pub(crate) fn name(prefix: &str, target: &str) -> String {
    let parts = target.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let name = std::iter::once(prefix).chain(parts).collect::<Vec<_>>().join("-").to_ascii_lowercase();
    name[..name.len().min(LONGEST_NAME)].trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        assert_eq!(name("tmpfs", "/var/Cache_x/"), "tmpfs-var-cache-x");
        assert_eq!(name("tmpfs", &"/abcdefghi".repeat(9)).len(), 63);
        assert_eq!(name("tmpfs", "/"), "tmpfs");
    }

    #[test]
    fn a_directory_in_memory_has_its_limit() {
        let volume = in_memory("dshm", "/dev/shm", Some(512 << 20));
        assert_eq!(volume["volume"]["emptyDir"], json!({ "medium": "Memory", "sizeLimit": "512Mi" }));
        assert_eq!(volume["volumeMounts"][0]["mountPath"], "/dev/shm");
    }
}
