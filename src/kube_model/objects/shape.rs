//! What createOptions must look like for the agent to read them at all: the types of its own classes
//! (Azure/iotedge `Agent.Docker/models`). Its JSON library (Newtonsoft, with its defaults) takes numbers and booleans for
//! text, text for numbers and booleans that it spells, and `null` for whatever can be missing, which a .NET number or boolean
//! cannot unless its type says so.

use super::super::lenient::{ShapeError, word};
use crate::text::{At, Kind};

/// The type of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Whatever it is.
    Any,
    Text,
    /// A whole number.
    Whole,
    Flag,
    /// A word of an enumeration by the names that C# has for it, or the number of its place there.
    Word(&'static [&'static str]),
    /// What may also be null although it is no text, list or object.
    Nullable(&'static Shape),
    List(&'static Shape),
    /// An object with keys of the user's.
    Map(&'static Shape),
    /// An object with these members; others are kept aside.
    Object(&'static [(&'static str, Shape)]),
}

use Shape::{Any, Flag, List, Map, Nullable, Object, Text, Whole, Word};

/// createOptions, without what the agent keeps aside (`CreateContainerParameters`).
pub(super) const CREATE_OPTIONS: Shape = Object(&OPTIONS);

const OPTIONS: [(&str, Shape); 7] = [
    ("Env", List(&Text)),
    ("ExposedPorts", Map(&Any)),
    ("HostConfig", HOST_CONFIG),
    ("Image", Text),
    ("Labels", Map(&Text)),
    ("Name", Text),
    ("NetworkingConfig", Object(&[("EndpointsConfig", Map(&Object(&[])))])),
];

/// `HostConfig`.
const HOST_CONFIG: Shape = Object(&HOST_OPTIONS);

const HOST_OPTIONS: [(&str, Shape); 65] = [
    ("AutoRemove", Flag),
    ("Binds", List(&Text)),
    ("BlkioDeviceReadBps", List(&RATE)),
    ("BlkioDeviceReadIOps", List(&RATE)),
    ("BlkioDeviceWriteBps", List(&RATE)),
    ("BlkioDeviceWriteIOps", List(&RATE)),
    ("BlkioWeight", Whole),
    ("BlkioWeightDevice", List(&Object(&[("Path", Text), ("Weight", Whole)]))),
    ("CapAdd", List(&Text)),
    ("CapDrop", List(&Text)),
    ("Cgroup", Text),
    ("CgroupParent", Text),
    ("ConsoleSize", List(&Whole)),
    ("CpuCount", Whole),
    ("CpuPercent", Whole),
    ("CpuPeriod", Whole),
    ("CpuQuota", Whole),
    ("CpuRealtimePeriod", Whole),
    ("CpuRealtimeRuntime", Whole),
    ("CpuShares", Whole),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", List(&Object(&[("PathOnHost", Text), ("PathInContainer", Text), ("CgroupPermissions", Text)]))),
    ("DiskQuota", Whole),
    ("Dns", List(&Text)),
    ("DnsOptions", List(&Text)),
    ("DnsSearch", List(&Text)),
    ("ExtraHosts", List(&Text)),
    ("GroupAdd", List(&Text)),
    ("IOMaximumBandwidth", Whole),
    ("IOMaximumIOps", Whole),
    ("Init", Nullable(&Flag)),
    ("InitPath", Text),
    ("IpcMode", Text),
    ("Isolation", Text),
    ("KernelMemory", Whole),
    ("Links", List(&Text)),
    ("LogConfig", Object(&[("Type", Text), ("Config", Map(&Text))])),
    ("Memory", Whole),
    ("MemoryReservation", Whole),
    ("MemorySwap", Whole),
    ("MemorySwappiness", Nullable(&Whole)),
    ("Mounts", List(&Object(&[("ReadOnly", Flag), ("Source", Text), ("Target", Text), ("Type", Text)]))),
    ("NanoCpus", Whole),
    ("NetworkMode", Text),
    ("OomKillDisable", Nullable(&Flag)),
    ("OomScoreAdj", Whole),
    ("PidMode", Text),
    ("PidsLimit", Whole),
    ("PortBindings", Map(&List(&Object(&[("HostIp", Text), ("HostPort", Text)])))),
    ("Privileged", Flag),
    ("PublishAllPorts", Flag),
    ("ReadonlyRootfs", Flag),
    ("RestartPolicy", Object(&[("MaximumRetryCount", Whole), ("Name", RESTART_POLICY)])),
    ("Runtime", Text),
    ("SecurityOpt", List(&Text)),
    ("ShmSize", Whole),
    ("StorageOpt", Map(&Text)),
    ("Sysctls", Map(&Text)),
    ("Tmpfs", Map(&Text)),
    ("UTSMode", Text),
    ("Ulimits", List(&Object(&[("Name", Text), ("Hard", Whole), ("Soft", Whole)]))),
    ("UsernsMode", Text),
    ("VolumeDriver", Text),
    ("VolumesFrom", List(&Text)),
];

/// `RestartPolicyKind`. It has Docker's own words (`on-failure`) where the JSON library does not look for them.
const RESTART_POLICY: Shape = Word(&["Undefined", "No", "Always", "OnFailure", "UnlessStopped"]);

const RATE: Shape = Object(&[("Path", Text), ("Rate", Whole)]);

/// The type of what stands at `key` in createOptions; none where the agent keeps it aside.
pub(super) fn of_option(key: &str) -> Option<Shape> {
    of(key, &OPTIONS)
}

/// The type of what stands at `key` in `HostConfig`, likewise.
pub(super) fn of_host_option(key: &str) -> Option<Shape> {
    of(key, &HOST_OPTIONS)
}

fn of(key: &str, fields: &[(&str, Shape)]) -> Option<Shape> {
    fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, shape)| *shape)
}

impl Shape {
    /// The first value at or below `at` that has another type.
    ///
    /// # Errors
    /// There is one.
    pub(super) fn check(self, at: At<'_>) -> Result<(), ShapeError> {
        let wrong = |expected: &str| {
            Err(ShapeError { message: format!("is {}, not {expected}", word(at)), node: Some(at.id()) })
        };
        let text = || at.as_str().unwrap_or_default().trim();
        match (self, at.kind()) {
            (Any, _) | (Nullable(_) | Text | List(_) | Map(_) | Object(_), Kind::Null) => Ok(()),
            (Text | Whole | Flag, Kind::Number | Kind::Bool(_)) | (Text, Kind::String) | (Word(_), Kind::Number) => {
                Ok(())
            }
            (Whole | Word(_), Kind::String) if text().parse::<i64>().is_ok() => Ok(()),
            (Flag, Kind::String) if at.as_bool().is_some() => Ok(()),
            (Word(words), Kind::String) if words.iter().any(|word| word.eq_ignore_ascii_case(text())) => Ok(()),
            (Nullable(shape), _) => shape.check(at),
            (List(item), Kind::Array) => at.items().try_for_each(|at| item.check(at)),
            (Map(value), Kind::Object) => at.members().try_for_each(|at| value.check(at)),
            (Object(fields), Kind::Object) => at
                .members()
                .try_for_each(|at| at.key().and_then(|key| of(key, fields)).map_or(Ok(()), |shape| shape.check(at))),
            (Text, _) => wrong("text"),
            (Whole, _) => wrong("a whole number"),
            (Flag, _) => wrong("a boolean"),
            (Word(words), _) => wrong(&format!("one of {}", words.join(", "))),
            (List(_), _) => wrong("a list"),
            (Map(_) | Object(_), _) => wrong("an object"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Document, Source};

    /// Where `options` have another type, and what is said.
    fn wrong(options: &str) -> Option<(String, String)> {
        let document = Document::parse(Source::new("t", options)).unwrap();
        let error = CREATE_OPTIONS.check(document.root()).err()?;
        let path = document.at(error.node.unwrap()).path().to_string();
        Some((path, error.message))
    }

    #[test]
    fn what_spells_a_value_is_one() {
        let options = r#"{"HostConfig": {"memory": "1024", "Privileged": "True", "ShmSize": 1.5, "Binds": [5, null],
            "MemorySwappiness": null, "OomKillDisable": null, "Init": 1, "RestartPolicy": {"name": "unlessStopped"},
            "Mounts": null, "DeviceRequests": "anything"}, "Labels": {"a": 1}, "Tty": {}}"#;
        assert_eq!(wrong(options), None);
    }

    #[test]
    fn other_types_are_found_wherever_they_stand() {
        for (options, path, message) in [
            (r#"{"HostConfig": {"Memory": "512m"}}"#, "HostConfig.Memory", "is text, not a whole number"),
            (
                r#"{"HostConfig": {"Devices": [{"PathOnHost": []}]}}"#,
                "HostConfig.Devices[0].PathOnHost",
                "is a list, not text",
            ),
            (r#"{"HostConfig": {"Ulimits": {}}}"#, "HostConfig.Ulimits", "is an object, not a list"),
            (
                r#"{"HostConfig": {"LogConfig": {"Config": {"x": {}}}}}"#,
                "HostConfig.LogConfig.Config.x",
                "is an object, not text",
            ),
            (r#"{"HostConfig": []}"#, "HostConfig", "is a list, not an object"),
            (
                r#"{"HostConfig": {"PortBindings": {"80": {}}}}"#,
                "HostConfig.PortBindings.80",
                "is an object, not a list",
            ),
            (r#"{"HostConfig": {"Init": "perhaps"}}"#, "HostConfig.Init", "is text, not a boolean"),
            (r#"{"Env": "A=b"}"#, "Env", "is text, not a list"),
            (r#"{"HostConfig": {"PidsLimit": null}}"#, "HostConfig.PidsLimit", "is null, not a whole number"),
            (r#"{"HostConfig": {"Privileged": null}}"#, "HostConfig.Privileged", "is null, not a boolean"),
            (
                r#"{"HostConfig": {"RestartPolicy": {"Name": "on-failure"}}}"#,
                "HostConfig.RestartPolicy.Name",
                "is text, not one of Undefined, No, Always, OnFailure, UnlessStopped",
            ),
            (
                r#"{"HostConfig": {"RestartPolicy": {"Name": null}}}"#,
                "HostConfig.RestartPolicy.Name",
                "is null, not one of Undefined, No, Always, OnFailure, UnlessStopped",
            ),
        ] {
            assert_eq!(wrong(options), Some((path.to_owned(), message.to_owned())), "{options}");
        }
    }
}
