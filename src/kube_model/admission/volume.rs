//! Volumes of pods (K8S-VAL `ValidateVolumes`, `validateVolumeSource`).

use std::collections::HashSet;

use serde_json::Value;

use super::name::{is_label, is_subdomain};
use super::{Refusals, items, members, quantity, text};

/// The bits of a file's mode.
const MODES: std::ops::RangeInclusive<i64> = 0..=0o777;

/// Partitions of a disk and numbers of a unit.
const BYTE: std::ops::RangeInclusive<i64> = 0..=255;

/// What a volume can be, in the order in which the API server looks: the key, how the API server calls it where it is one
/// too many, how it calls it otherwise, and what it must have.
const SOURCES: [(&str, &str, &str, &[&str]); 28] = [
    ("emptyDir", "emptyDir", "emptyDir", &[]),
    ("hostPath", "hostPath", "hostPath", &["path"]),
    ("gitRepo", "gitRepo", "gitRepo", &["repository"]),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", &["pdName"]),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", &["volumeID"]),
    ("secret", "secret", "secret", &["secretName"]),
    ("nfs", "nfs", "nfs", &["server", "path"]),
    ("iscsi", "iscsi", "iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", "glusterfs", "glusterfs", &["endpoints", "path"]),
    ("flocker", "flocker", "flocker", &[]),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", &["claimName"]),
    ("rbd", "rbd", "rbd", &["monitors", "image"]),
    ("cinder", "cinder", "cinder", &["volumeID"]),
    ("cephfs", "cephFS", "cephfs", &["monitors"]),
    ("quobyte", "quobyte", "quobyte", &["registry", "volume"]),
    ("downwardAPI", "downwarAPI", "downwardAPI", &[]),
    ("fc", "fc", "fc", &[]),
    ("flexVolume", "flexVolume", "flexVolume", &["driver"]),
    ("configMap", "configMap", "configMap", &["name"]),
    ("azureFile", "azureFile", "azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", &["pdID"]),
    ("portworxVolume", "portworxVolume", "portworxVolume", &["volumeID"]),
    ("azureDisk", "azureDisk", "azureDisk", &["diskName", "diskURI"]),
    ("storageos", "storageos", "storageos", &["volumeName"]),
    ("projected", "projected", "projected", &[]),
    ("scaleIO", "scaleIO", "scaleIO", &["gateway", "system", "volumeName"]),
    ("csi", "csi", "csi", &["driver"]),
];

/// What a path of the host can be said to be.
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// What a file can say of its pod and of a container.
const FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const CONTAINER_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

impl Refusals {
    /// `names` are those of the volumes before it. A volume without a source is an `emptyDir`.
    pub(super) fn volume(&mut self, volume: &Value, field: &str, names: &HashSet<&str>) {
        let mut has_source = false;
        for (key, as_second, called, required) in SOURCES {
            let source = &volume[key];
            if source.is_null() {
                continue;
            }
            if has_source {
                self.add_at(format!("{field}.{as_second}"), format!("{field}.{key}"), "a volume has one source");
            } else {
                let from = self.0.len();
                self.source(key, source, &format!("{field}.{called}"), required);
                // Where the API server has another word for it.
                for refusal in self.0.iter_mut().skip(from).filter(|_| key != called) {
                    refusal.place = refusal.place.replacen(&format!("{field}.{called}"), &format!("{field}.{key}"), 1);
                }
            }
            has_source = true;
        }
        let name = text(volume, "/name");
        if !is_label(name) {
            self.add(format!("{field}.name"), format!("`{name}` is no name of a volume"));
        }
        if names.contains(name) {
            self.add(format!("{field}.name"), format!("`{name}` is the name of another volume"));
        }
        let portal = volume.pointer("/iscsi/targetPortal").and_then(Value::as_str).unwrap_or_default();
        if volume["iscsi"]["initiatorName"].is_string() && name.len() + 1 + portal.len() > 64 {
            self.add(format!("{field}.name"), "name and portal have more than 64 characters together");
        }
    }

    fn source(&mut self, key: &str, source: &Value, field: &str, required: &[&str]) {
        for part in required {
            let is_there = match &source[part] {
                Value::String(text) => !text.is_empty(),
                Value::Array(list) => !list.is_empty(),
                _ => false,
            };
            if !is_there {
                self.add(format!("{field}.{part}"), "is missing or empty");
            }
        }
        let text = |part: &str| source[part].as_str().unwrap_or_default();
        match key {
            "emptyDir" if quantity(&source["sizeLimit"]).is_some_and(|size| size < 0) => {
                self.add(format!("{field}.sizeLimit"), "is less than nothing");
            }
            "hostPath" if !text("path").is_empty() => {
                self.without_steps_back(text("path"), &format!("{field}.path"));
                self.one_of(&source["type"], &format!("{field}.type"), &HOST_PATH_TYPES);
            }
            "gitRepo" => self.below(text("directory"), &format!("{field}.directory")),
            "gcePersistentDisk" | "awsElasticBlockStore" => {
                self.range(&source["partition"], &format!("{field}.partition"), BYTE);
            }
            "secret" | "configMap" => {
                self.range(&source["defaultMode"], &format!("{field}.defaultMode"), MODES);
                self.files(&source["items"], &format!("{field}.items"));
            }
            "nfs" if !text("path").starts_with('/') && !text("path").is_empty() => {
                self.add(format!("{field}.path"), format!("`{}` is not absolute", text("path")));
            }
            "iscsi" => self.iscsi(source, field),
            "flocker" => match (text("datasetName"), text("datasetUUID")) {
                ("", "") => self.add(field, "needs `datasetName` or `datasetUUID`"),
                (name, uuid) => {
                    if !name.is_empty() && !uuid.is_empty() {
                        self.add(field, "takes `datasetName` or `datasetUUID`, not both");
                    }
                    if name.contains('/') {
                        self.add(format!("{field}.datasetName"), "has a `/` in it");
                    }
                }
            },
            "cinder" | "storageos" => {
                self.secret(source, &format!("{field}.secretRef"));
                for (part, name) in [("volumeName", text("volumeName")), ("volumeNamespace", text("volumeNamespace"))] {
                    if key == "storageos" && !name.is_empty() && !is_label(name) {
                        self.add(format!("{field}.{part}"), format!("`{name}` is no label"));
                    }
                }
            }
            "quobyte" if !text("registry").is_empty() => {
                if text("tenant").len() >= 65 {
                    self.add(format!("{field}.tenant"), "has more than 64 characters");
                } else if !text("registry").split(',').all(is_host_and_port) {
                    self.add(format!("{field}.registry"), "is not `host:port`, or several with commas between");
                }
            }
            "downwardAPI" => {
                self.range(&source["defaultMode"], &format!("{field}.defaultMode"), MODES);
                for (i, file) in items(&source["items"]).enumerate() {
                    self.file_about_pod(file, field, &format!("{field}.items[{i}]"));
                }
            }
            "fc" => self.fibre_channel(source, field),
            "flexVolume" => {
                for (option, _) in members(&source["options"]) {
                    let domain = option.split('/').next().unwrap_or(option).to_ascii_lowercase();
                    if ["kubernetes.io", "k8s.io"].iter().any(|own| format!(".{domain}").ends_with(&format!(".{own}")))
                    {
                        self.add(format!("{field}.options[{option}]"), "is an option of Kubernetes' own");
                    }
                }
            }
            "azureDisk" => self.azure_disk(source, field),
            "projected" => self.projected(source, field),
            "csi" => {
                let driver = text("driver");
                if !driver.is_empty() && (driver.len() > 63 || !is_subdomain(&driver.to_ascii_lowercase())) {
                    self.add(format!("{field}.driver"), format!("`{driver}` is no name of a driver"));
                }
                self.csi_secret(source, field);
            }
            _ => {}
        }
    }

    fn iscsi(&mut self, source: &Value, field: &str) {
        // The second key is what the API server calls it.
        for (part, called) in [("iqn", "iqn"), ("initiatorName", "initiatorname")] {
            if let Some(name) = source[part].as_str().filter(|name| part != "iqn" || !name.is_empty())
                && !is_initiator(name)
            {
                let because = format!("`{name}` is no name of an initiator");
                self.add_at(format!("{field}.{called}"), format!("{field}.{part}"), because);
            }
        }
        self.range(&source["lun"], &format!("{field}.lun"), BYTE);
        let has = |part: &str| source[part].as_bool().unwrap_or(false);
        if (has("chapAuthDiscovery") || has("chapAuthSession")) && source["secretRef"].is_null() {
            self.add(format!("{field}.secretRef"), "is missing");
        }
    }

    fn fibre_channel(&mut self, source: &Value, field: &str) {
        let has = |part: &str| items(&source[part]).next().is_some();
        match (has("targetWWNs"), has("wwids")) {
            (false, false) => self.add(format!("{field}.targetWWNs"), "needs `targetWWNs` or `wwids`"),
            (true, true) => self.add(format!("{field}.targetWWNs"), "takes `targetWWNs` or `wwids`, not both"),
            _ => {}
        }
        if has("targetWWNs") {
            if source["lun"].is_null() {
                self.add(format!("{field}.lun"), "is missing");
            }
            self.range(&source["lun"], &format!("{field}.lun"), BYTE);
        }
    }

    fn azure_disk(&mut self, source: &Value, field: &str) {
        self.one_of(&source["cachingMode"], &format!("{field}.cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
        self.one_of(&source["kind"], &format!("{field}.kind"), &["Dedicated", "Managed", "Shared"]);
        let kind = source["kind"].as_str().unwrap_or("Shared");
        let start = if kind == "Managed" { "/subscriptions/" } else { "https://" };
        let uri = source["diskURI"].as_str().unwrap_or_default();
        if !uri.starts_with(start) {
            self.add(format!("{field}.diskURI"), format!("does not begin with {start}"));
        }
    }

    fn projected(&mut self, source: &Value, field: &str) {
        self.range(&source["defaultMode"], &format!("{field}.defaultMode"), MODES);
        let mut paths = HashSet::new();
        for (i, part) in items(&source["sources"]).enumerate() {
            let field_of_part = format!("{field}.sources[{i}]");
            let mut count = 0;
            for key in ["secret", "configMap", "downwardAPI"] {
                let (projection, at) = (&part[key], format!("{field_of_part}.{key}"));
                if projection.is_null() {
                    continue;
                }
                count += 1;
                if key == "downwardAPI" {
                    for (j, file) in items(&projection["items"]).enumerate() {
                        self.file_about_pod(file, &at, &format!("{at}.items[{j}]"));
                    }
                } else {
                    self.required(&projection["name"], &format!("{at}.name"));
                    self.files(&projection["items"], &format!("{at}.items"));
                }
                for (j, file) in items(&projection["items"]).enumerate() {
                    let path = text(file, "/path");
                    if !path.is_empty() && !paths.insert(path) {
                        self.add_at(field, format!("{at}.items[{j}].path"), format!("`{path}` is there already"));
                    }
                }
            }
            let token = &part["serviceAccountToken"];
            if !token.is_null() {
                count += 1;
                let at = format!("{field_of_part}.serviceAccountToken");
                self.range(&token["expirationSeconds"], &format!("{at}.expirationSeconds"), 600..=1 << 32);
                if text(token, "/path").is_empty() {
                    self.add_at(format!("{field}.path"), format!("{at}.path"), "is missing or empty");
                }
            }
            if count > 1 {
                self.add(field_of_part, "takes one of secret, configMap, downwardAPI and serviceAccountToken");
            }
        }
    }

    /// Files that are made of the values of a map.
    fn files(&mut self, files: &Value, field: &str) {
        for (i, file) in items(files).enumerate() {
            let field = format!("{field}[{i}]");
            self.required(&file["key"], &format!("{field}.key"));
            let path = self.required(&file["path"], &format!("{field}.path"));
            self.own_path(path, &format!("{field}.path"), &format!("{field}.path"));
            self.range(&file["mode"], &format!("{field}.mode"), MODES);
        }
    }

    /// A file that says something of its pod; `field` is that of the volume, which the API server names for it.
    fn file_about_pod(&mut self, file: &Value, field: &str, place: &str) {
        let path = text(file, "/path");
        if path.is_empty() {
            self.add_at(format!("{field}.path"), format!("{place}.path"), "is missing or empty");
        }
        self.own_path(path, &format!("{field}.path"), &format!("{place}.path"));
        let (of_pod, of_container) = (&file["fieldRef"], &file["resourceFieldRef"]);
        if !of_pod.is_null() {
            self.field_of_pod(of_pod, &format!("{field}.fieldRef"), &format!("{place}.fieldRef"));
            if !of_container.is_null() {
                self.add_at(field, place, "takes `fieldRef` or `resourceFieldRef`, not both");
            }
        } else if !of_container.is_null() {
            let (field, place) = (format!("{field}.resourceFieldRef"), format!("{place}.resourceFieldRef"));
            self.field_of_container(of_container, &field, &place);
        } else {
            self.add_at(field, place, "needs `fieldRef` or `resourceFieldRef`");
        }
        if let Some(mode) = file["mode"].as_i64().filter(|mode| !MODES.contains(mode)) {
            self.add_at(format!("{field}.mode"), format!("{place}.mode"), format!("{mode} is no mode of a file"));
        }
    }

    fn field_of_pod(&mut self, of_pod: &Value, field: &str, place: &str) {
        let path = text(of_pod, "/fieldPath");
        let version = of_pod["apiVersion"].as_str().filter(|version| !version.is_empty());
        let (field, place) = (format!("{field}.fieldPath"), format!("{place}.fieldPath"));
        let one_of_many = path.strip_suffix("']").and_then(|path| path.split_once("['"));
        match one_of_many {
            _ if path.is_empty() => self.add_at(field, place, "is missing or empty"),
            _ if version.is_some_and(|version| version != "v1") => {
                self.add_at(field, place, "is known of version v1 alone");
            }
            Some(("metadata.labels" | "metadata.annotations", key)) => {
                let is_annotation = path.starts_with("metadata.annotations");
                let key = if is_annotation { key.to_ascii_lowercase() } else { key.to_owned() };
                if !super::is_qualified(&key) {
                    let field = field.trim_end_matches(".fieldPath").to_owned();
                    self.add_at(field, place, format!("`{key}` is no key"));
                }
            }
            None if FIELDS.contains(&path) => {}
            _ => self.add_at(field, place, format!("`{path}` is nothing that a file can say of its pod")),
        }
    }

    fn field_of_container(&mut self, of_container: &Value, field: &str, place: &str) {
        let resource = text(of_container, "/resource");
        if text(of_container, "/containerName").is_empty() {
            self.add_at(format!("{field}.containerName"), format!("{place}.containerName"), "is missing or empty");
        } else if !CONTAINER_FIELDS.contains(&resource) {
            let because = format!("`{resource}` is nothing that a file can say of a container");
            self.add_at(format!("{field}.resource"), format!("{place}.resource"), because);
        }
        let divisor = of_container.get("divisor").and_then(quantity).filter(|divisor| *divisor != 0);
        let Some(divisor) = divisor else { return };
        let fits = match resource {
            "limits.cpu" | "requests.cpu" => matches!(divisor, 1 | 1000),
            "limits.memory" | "requests.memory" | "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
                let whole = divisor / 1000;
                let is_power = |of: i128| (0..7).any(|times| of.pow(times) == whole);
                divisor % 1000 == 0 && (is_power(1000) || is_power(1024))
            }
            _ => true,
        };
        if !fits {
            self.add_at(format!("{field}.divisor"), format!("{place}.divisor"), "is no unit of this resource");
        }
    }

    fn secret(&mut self, source: &Value, field: &str) {
        if !source["secretRef"].is_null() {
            self.required(&source["secretRef"]["name"], &format!("{field}.name"));
        }
    }

    fn csi_secret(&mut self, source: &Value, field: &str) {
        let reference = &source["nodePublishSecretRef"];
        let (name, place) = (text(reference, "/name"), format!("{field}.nodePublishSecretRef.name"));
        if reference.is_null() {
            return;
        }
        if name.is_empty() {
            // With a blank, as the API server writes it.
            self.add_at(format!("{field}.nodePublishSecretRef .name"), place, "is missing or empty");
        } else if !is_subdomain(name) {
            self.add_at(format!("{field}.name"), place, format!("`{name}` is no name of a secret"));
        }
    }

    /// A path within a volume that nobody else may have a use for: not with two dots in front.
    fn own_path(&mut self, path: &str, field: &str, place: &str) {
        let has_step_back = path.split('/').any(|step| step == "..");
        if path.starts_with('/') || has_step_back || path.starts_with("..") {
            self.add_at(field, place, format!("`{path}` is absolute, or has `..` in it"));
        }
    }

    fn below(&mut self, path: &str, field: &str) {
        if path.starts_with('/') {
            self.add(field, format!("`{path}` is absolute"));
        }
        self.without_steps_back(path, field);
    }

    fn without_steps_back(&mut self, path: &str, field: &str) {
        if path.split('/').any(|step| step == "..") {
            self.add(field, format!("`{path}` has `..` in it"));
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') => host.ends_with(']'),
        Some((host, _)) => !host.contains(':'),
        None => false,
    }
}

/// Whether `name` is one of iSCSI: `iqn.2015-02.example.com:storage`, or `eui.` or `naa.` and a number.
fn is_initiator(name: &str) -> bool {
    let is_number = |digits: &str, length: usize| {
        digits.len() == length + 1 && digits[1..].bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if let Some(rest) = name.strip_prefix("iqn") {
        let Some((year, rest)) = rest.strip_prefix('.').and_then(|rest| rest.split_once('-')) else { return false };
        let Some((month, rest)) = rest.split_once('.') else { return false };
        let Some((authority, target)) = rest.split_once(':') else { return false };
        let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_forbidden = |c: char| matches!(c, ',' | ';' | '*' | '&' | '$' | '|') || c.is_whitespace();
        digits(year, 4)
            && digits(month, 2)
            && !authority.is_empty()
            && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            && !target.is_empty()
            && !target.contains(is_forbidden)
    } else if let Some(rest) = name.strip_prefix("eui").filter(|rest| rest.is_ascii()) {
        is_number(rest, 16)
    } else {
        name.strip_prefix("naa").is_some_and(|rest| rest.is_ascii() && is_number(rest, 32))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(source: &Value) -> Vec<String> {
        let mut volume = json!({ "name": "v" });
        volume.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        let mut found = Refusals::default();
        found.volume(&volume, "v", &HashSet::new());
        found.0.into_iter().map(|refusal| refusal.field).collect()
    }

    #[test]
    fn every_source_needs_what_is_its_own() {
        for (key, _, called, required) in SOURCES {
            let found = fields(&json!({ key: {} }));
            for part in required {
                assert!(found.contains(&format!("v.{called}.{part}")), "{key}: {found:?}");
            }
            assert_eq!(found.is_empty(), matches!(key, "emptyDir" | "downwardAPI" | "projected"), "{key}: {found:?}");
        }
        assert!(fields(&json!({})).is_empty());
    }

    #[test]
    fn the_second_source_is_one_too_many() {
        let both = json!({ "configMap": { "name": "c" }, "emptyDir": {}, "cephfs": { "monitors": ["a"] } });
        assert_eq!(fields(&both), ["v.cephFS", "v.configMap"]);
    }

    #[test]
    fn paths_types_and_modes_are_judged() {
        assert_eq!(fields(&json!({ "hostPath": { "path": "/a/../b", "type": "directory" } })).len(), 2);
        assert!(fields(&json!({ "hostPath": { "path": "a..b", "type": "" } })).is_empty());
        let map = json!({ "configMap": { "name": "c", "defaultMode": 512, "items": [
            { "key": "", "path": "..x", "mode": -1 }, { "key": "k", "path": "/a" }] } });
        let expected = ["defaultMode", "items[0].key", "items[0].path", "items[0].mode", "items[1].path"];
        assert_eq!(fields(&map), expected.map(|part| format!("v.configMap.{part}")));
        assert_eq!(fields(&json!({ "nfs": { "server": "s", "path": "a" } })), ["v.nfs.path"]);
        assert_eq!(fields(&json!({ "emptyDir": { "sizeLimit": "-1" } })), ["v.emptyDir.sizeLimit"]);
    }

    #[test]
    fn files_about_the_pod_say_what_there_is() {
        let of = |file: Value| fields(&json!({ "downwardAPI": { "items": [file] } }));
        assert!(of(json!({ "path": "p", "fieldRef": { "fieldPath": "metadata.labels['a.b/c']" } })).is_empty());
        assert_eq!(
            of(json!({ "path": "p", "fieldRef": { "fieldPath": "spec.nodeName" } })),
            ["v.downwardAPI.fieldRef.fieldPath"]
        );
        assert_eq!(of(json!({ "path": "" })), ["v.downwardAPI.path", "v.downwardAPI"]);
        let memory = |divisor: &str| {
            of(json!({ "path": "p", "resourceFieldRef":
                { "containerName": "c", "resource": "limits.memory", "divisor": divisor } }))
        };
        assert!(memory("1Mi").is_empty() && memory("0").is_empty() && memory("1k").is_empty());
        assert_eq!(memory("3"), ["v.downwardAPI.resourceFieldRef.divisor"]);
    }

    #[test]
    fn parts_of_a_projection_are_one_thing_each() {
        let projected = json!({ "projected": { "sources": [
            { "secret": { "name": "s", "items": [{ "key": "k", "path": "p" }] }, "configMap": { "name": "" } },
            { "configMap": { "name": "c", "items": [{ "key": "k", "path": "p" }] } },
            { "serviceAccountToken": { "expirationSeconds": 5 } }] } });
        let expected = [
            "v.projected.sources[0].configMap.name",
            "v.projected.sources[0]",
            "v.projected",
            "v.projected.sources[2].serviceAccountToken.expirationSeconds",
            "v.projected.path",
        ];
        assert_eq!(fields(&projected), expected);
    }

    #[test]
    fn disks_and_units_of_networks_are_judged() {
        let disk =
            |kind: &str, uri: &str| fields(&json!({ "azureDisk": { "diskName": "d", "kind": kind, "diskURI": uri } }));
        assert!(disk("Managed", "/subscriptions/x").is_empty() && !disk("Shared", "/subscriptions/x").is_empty());
        let iscsi = |iqn: &str| fields(&json!({ "iscsi": { "targetPortal": "p", "iqn": iqn, "lun": 0 } }));
        assert!(iscsi("iqn.2015-02.example.com:storage").is_empty() && iscsi("eui.0123456789ABCDEF").is_empty());
        assert_eq!(iscsi("iqn.example.com:storage"), ["v.iscsi.iqn"]);
        assert_eq!(fields(&json!({ "fc": { "targetWWNs": ["a"] } })), ["v.fc.lun"]);
        assert_eq!(fields(&json!({ "csi": { "driver": "a b" } })), ["v.csi.driver"]);
        assert_eq!(fields(&json!({ "flexVolume": { "driver": "d", "options": { "x.k8s.io/y": "" } } })).len(), 1);
        assert_eq!(fields(&json!({ "quobyte": { "registry": "host", "volume": "v" } })), ["v.quobyte.registry"]);
    }
}
