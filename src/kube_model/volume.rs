//! The volumes of a pod: those that the agent makes of a module's createOptions (`k8s-translation.md` §1.3 and §2), and
//! new entries for `k8s-experimental.volumes`.

use serde_json::{Value, json};

use super::names::dns_label;
use crate::manifest::{HostMount, HostPath, Module, Mount, has_placeholder};
use crate::text::{At, Span};

/// The longest name of a volume: a DNS label.
const LONGEST_NAME: usize = 63;

/// A volume of a module's pod.
#[derive(Debug)]
pub(crate) struct Volume<'m> {
    /// What it is named after: a path of the host, a share, or for one of `k8s-experimental` its name.
    pub(crate) source: &'m str,
    /// Its name; `None` where the agent can make none of the source, and throws.
    pub(crate) name: Option<String>,
    /// Where the container sees it; none for one of `k8s-experimental`.
    pub(crate) target: Option<&'m str>,
    /// The bytes of the source.
    pub(crate) span: Span,
}

impl Volume<'_> {
    /// Whether it stands in `k8s-experimental.volumes`, where names are taken as they are.
    pub(crate) fn is_extension(&self) -> bool {
        self.target.is_none()
    }
}

/// The volumes of the pod of `module` in the agent's order, those of `k8s-experimental` first. Left out are sources with
/// placeholders, whose names are not known, and paths of Windows hosts, which the agent takes apart wrongly (STO-026).
pub(crate) fn of(module: Module<'_>) -> Vec<Volume<'_>> {
    let extensions = module.pod_volumes().into_iter().filter_map(|volume| {
        let at = volume.name()?;
        let source = at.as_str()?;
        Some(Volume { source, name: Some(source.to_owned()), target: None, span: at.span() })
    });
    let named = |source, target, span| Volume { source, name: dns_label(source), target: Some(target), span };
    let host = module.host_mounts().into_iter();
    let host = host.filter(|mount| mount.host_path() != HostPath::Windows);
    let host = host.map(|mount: HostMount<'_>| named(mount.source(), mount.target(), mount.source_span()));
    let shares = module.mounts().into_iter().filter(|mount| mount.is("volume")).filter_map(|mount: Mount<'_>| {
        let (source, target) = (mount.source?, mount.target.and_then(At::as_str).unwrap_or_default());
        let name = source.as_str()?;
        Some(named(name, target, source.part(0..name.len())))
    });
    extensions.chain(host).chain(shares).filter(|volume| !has_placeholder(volume.source)).collect()
}

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

/// What the claim `claim` stands for, mounted at `target`.
pub(crate) fn of_claim(claim: &str, target: &str) -> Value {
    let mount = json!({ "name": claim, "mountPath": target });
    json!({ "volume": { "name": claim, "persistentVolumeClaim": { "claimName": claim } }, "volumeMounts": [mount] })
}

/// The directory `below` of the volume `name`, which a mount makes, mounted at `target`.
pub(crate) fn part_of(name: &str, target: &str, below: &str, read_only: bool) -> Value {
    let mut mount = json!({ "name": name, "mountPath": target, "subPath": below });
    if read_only {
        mount["readOnly"] = true.into();
    }
    json!({ "volumeMounts": [mount] })
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
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn volumes_are_named_after_their_sources() {
        let text = r#"{"HostConfig": {
            "Binds": ["/var/Lib/x:/x", "C:\\data:/y", "$DIR:/z", "/dropped"],
            "Mounts": [{"Type": "volume", "Source": "Share_1", "Target": "/s"},
                       {"Type": "bind", "Source": "/", "Target": "/root"},
                       {"Type": "tmpfs", "Source": "t", "Target": "/t"}]},
            "k8s-experimental": {"volumes": [{"volume": {"name": "dshm", "emptyDir": {}}}, {}]}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let volumes = of(manifest.modules().next().unwrap());
        let found: Vec<_> = volumes.iter().map(|v| (v.source, v.name.as_deref(), v.target)).collect();
        let expected = [
            ("dshm", Some("dshm"), None),
            ("/var/Lib/x", Some("varlibx"), Some("/x")),
            ("/", None, Some("/root")),
            ("Share_1", Some("share1"), Some("/s")),
        ];
        assert_eq!(found, expected);
    }

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
