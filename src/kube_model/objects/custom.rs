//! The `EdgeDeployment`, the custom object that the agent writes for itself (`k8s-translation.md` §8).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::super::AgentSettings;
use super::super::names::k8s_value;
use super::parameters::{Extensions, Parameters};
use super::{Labels, metadata};
use crate::manifest::Module;
use crate::text::{At, Kind, Written};

/// The `EdgeDeployment`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeDeployment {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: Vec<EdgeModule>,
}

/// A module in an [`EdgeDeployment`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct EdgeModule {
    name: String,
    version: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    restart_policy: String,
    image_pull_policy: String,
    #[serde(serialize_with = "variables")]
    env: Map<String, Value>,
    owner: OwnerReference,
    /// JSON as text.
    settings: String,
}

/// What [`EdgeModule::settings`] says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModuleSettings<'p> {
    image: &'p str,
    auth: Option<Auth<'p>>,
    create_options: Options<'p>,
}

/// The image pull secret.
#[derive(Serialize)]
struct Auth<'p> {
    name: &'p str,
}

/// createOptions, with the agent's names at the top and Docker's below; what is null is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'p> {
    #[serde(flatten)]
    verbatim: Verbatim<'p>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<&'p [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<&'p [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<&'p str>,
    #[serde(flatten)]
    extensions: Option<&'p Extensions>,
}

/// The options that are taken over as they are written.
struct Verbatim<'p>(Module<'p>);

/// The name of the `EdgeDeployment`; `None` where the agent throws: hub or device are blank or too long.
pub fn custom_object_name(hub: &str, device: &str) -> Option<String> {
    let part = |text: &str| k8s_value(text).filter(|_| !text.trim().is_empty());
    Some(format!("{}-{}", part(hub)?, part(device)?))
}

/// The `EdgeDeployment` of `modules`.
pub fn custom_object(modules: &[Parameters<'_>], settings: &AgentSettings) -> Option<EdgeDeployment> {
    let name = custom_object_name(&settings.hub, &settings.device)?;
    Some(EdgeDeployment {
        api_version: "microsoft.azure.devices.edge/v1",
        kind: "EdgeDeployment",
        metadata: ObjectMeta { labels: None, ..metadata(&name, &Labels::new(), None, settings) },
        spec: modules.iter().map(|parameters| EdgeModule::of(parameters, settings)).collect(),
    })
}

impl EdgeModule {
    fn of(parameters: &Parameters<'_>, settings: &AgentSettings) -> Self {
        let entry = parameters.module.entry();
        let text = |key: &str, default: &str| entry.get(key).and_then(At::as_text).unwrap_or(default).to_owned();
        let env = entry.get("env").into_iter().flat_map(At::members).filter_map(|at| {
            let value = at.get_ignoring_case("value").unwrap_or(at).as_text().unwrap_or_default();
            Some((at.key()?.to_owned(), value.into()))
        });
        let own = ModuleSettings {
            image: &parameters.image,
            auth: parameters.pull_secret.as_ref().map(|name| Auth { name }),
            create_options: Options {
                verbatim: Verbatim(parameters.module),
                cmd: parameters.cmd.as_deref(),
                entrypoint: parameters.entrypoint.as_deref(),
                working_dir: parameters.working_dir.as_deref(),
                extensions: parameters.extensions.as_ref(),
            },
        };
        Self {
            name: parameters.module.id().to_owned(),
            version: text("version", ""),
            kind: text("type", "docker"),
            status: text("status", "running"),
            restart_policy: text("restartPolicy", "always"),
            image_pull_policy: text("imagePullPolicy", "on-create"),
            env: env.collect(),
            owner: settings.owner.reference(),
            settings: serde_json::to_string(&own).unwrap_or_default(),
        }
    }
}

/// Variables with their values in objects, as `env` has them in a deployment.
fn variables<S: Serializer>(env: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Variable<'e> {
        value: &'e Value,
    }
    serializer.collect_map(env.iter().map(|(name, value)| (name, Variable { value })))
}

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = [
            ("env", "Env"),
            ("exposedPorts", "ExposedPorts"),
            ("hostConfig", "HostConfig"),
            ("image", "Image"),
            ("labels", "Labels"),
        ];
        let given = names.into_iter().filter_map(|(name, key)| {
            let at = self.0.option(&[key]).filter(|at| at.kind() != Kind::Null)?;
            Some((name, Written(at)))
        });
        serializer.collect_map(given)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube_model::objects::translate;
    use crate::manifest::Manifest;
    use crate::text::Source;

    #[test]
    fn names_are_made_of_hub_and_device() {
        let name = custom_object_name("My-Hub.azure-devices.net", "Gate_1");
        assert_eq!(name.as_deref(), Some("my-hub.azure-devices.net-gate1"));
        assert_eq!(custom_object_name(" ", "gate"), None);
        assert_eq!(custom_object_name("hub", &"x".repeat(254)), None);
    }

    #[test]
    fn it_lists_the_modules_with_their_settings_as_text() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {
            "runtime": {"settings": {"registryCredentials": {"r": {"address": "x.io", "username": "u", "password": "p"}}}},
            "systemModules": {"edgeHub": {"restartPolicy": "never", "settings": {"image": "hub:1"}}},
            "modules": {"My_M": {"version": "1.0", "type": "docker", "status": "stopped", "imagePullPolicy": "never",
                "env": {"A": {"value": "1"}, "B": {}, "A": {"value": 2}},
                "settings": {"image": "x.io/a", "createOptions": {"Cmd": ["run"], "Tty": true, "Labels": null,
                    "Env": ["A=\"1\""], "hostconfig": {"Memory": 1.50, "privileged": false},
                    "k8s-experimental": {"nodeSelector": {"a": "b"}, "serviceOptions": {"type": "clusterip"}, "x": 1}}}}}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let made = translate(&manifest, &AgentSettings::default()).created().unwrap();
        let object = made.iter().find(|object| object["kind"] == "EdgeDeployment").unwrap();
        let owner = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "iotedged",
            "uid": "00000000-0000-0000-0000-000000000000" });
        let expected = json!({
            "apiVersion": "microsoft.azure.devices.edge/v1",
            "kind": "EdgeDeployment",
            "metadata": { "name": "hub.azure-devices.net-device", "namespace": "iotedge", "ownerReferences": [owner] },
            "spec": [
                { "name": "edgeHub", "version": "", "type": "docker", "status": "running", "restartPolicy": "never",
                    "imagePullPolicy": "on-create", "env": {}, "owner": owner,
                    "settings": r#"{"image":"hub:1","auth":null,"createOptions":{}}"# },
                { "name": "My_M", "version": "1.0", "type": "docker", "status": "stopped", "restartPolicy": "always",
                    "imagePullPolicy": "never", "env": { "A": { "value": "2" }, "B": { "value": "" } }, "owner": owner,
                    "settings": concat!(
                        r#"{"image":"x.io/a:latest","auth":{"name":"u-x.io"},"createOptions":{"env":["A=\"1\""],"#,
                        r#""hostConfig":{"Memory":1.5,"privileged":false},"cmd":["run"],"nodeSelector":{"a":"b"},"#,
                        r#""serviceOptions":{"type":"ClusterIP","loadBalancerIP":null}}}"#
                    ) },
            ],
        });
        assert_eq!(object.to_string(), expected.to_string());
    }
}
