//! The `EdgeDeployment`, the custom object that the agent writes for itself (`k8s-translation.md` §8).

use serde_json::{Map, Value, json};

use super::super::AgentSettings;
use super::super::names::k8s_value;
use super::parameters::Parameters;
use crate::text::{At, compact};

/// The name of the `EdgeDeployment`; `None` where the agent throws: hub or device are blank or too long.
pub fn custom_object_name(hub: &str, device: &str) -> Option<String> {
    let part = |text: &str| k8s_value(text).filter(|_| !text.trim().is_empty());
    Some(format!("{}-{}", part(hub)?, part(device)?))
}

/// The `EdgeDeployment` of `modules`.
pub fn custom_object(modules: &[Parameters<'_>], settings: &AgentSettings) -> Option<Value> {
    let owner = &settings.owner;
    let owner = json!({
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
    });
    let spec: Vec<Value> = modules.iter().map(|parameters| module(parameters, &owner)).collect();
    Some(json!({
        "apiVersion": "microsoft.azure.devices.edge/v1",
        "kind": "EdgeDeployment",
        "metadata": {
            "name": custom_object_name(&settings.hub, &settings.device)?,
            "namespace": settings.namespace,
            "ownerReferences": [owner],
        },
        "spec": spec,
    }))
}

fn module(parameters: &Parameters<'_>, owner: &Value) -> Value {
    let entry = parameters.module.entry();
    let text = |key: &str, default: &str| entry.get(key).and_then(At::as_text).unwrap_or(default).to_owned();
    let env: Map<String, Value> = entry
        .get("env")
        .into_iter()
        .flat_map(At::members)
        .filter_map(|at| {
            let value = at.get_ignoring_case("value").unwrap_or(at).as_text().unwrap_or_default();
            Some((at.key()?.to_owned(), json!({ "value": value })))
        })
        .collect();
    let auth = parameters.pull_secret.as_ref().map_or(Value::Null, |name| json!({ "name": name }));
    let settings = json!({ "image": parameters.image, "auth": auth, "createOptions": options(parameters) });
    json!({
        "name": parameters.module.id(),
        "version": text("version", ""),
        "type": text("type", "docker"),
        "status": text("status", "running"),
        "restartPolicy": text("restartPolicy", "always"),
        "imagePullPolicy": text("imagePullPolicy", "on-create"),
        "env": env,
        "owner": owner,
        "settings": settings.to_string(),
    })
}

/// createOptions, with the agent's names at the top and Docker's below.
fn options(parameters: &Parameters<'_>) -> Value {
    let verbatim = |key: &'static str| {
        let at = parameters.module.option(&[key]);
        at.and_then(|at| serde_json::from_str(&compact(at)).ok()).unwrap_or(Value::Null)
    };
    let mut options = json!({
        "env": verbatim("Env"),
        "exposedPorts": verbatim("ExposedPorts"),
        "hostConfig": verbatim("HostConfig"),
        "image": verbatim("Image"),
        "labels": verbatim("Labels"),
        "cmd": parameters.cmd,
        "entrypoint": parameters.entrypoint,
        "workingDir": parameters.working_dir,
    });
    let extensions = parameters.extensions.as_ref().and_then(|extensions| serde_json::to_value(extensions).ok());
    if let (Some(options), Some(Value::Object(extensions))) = (options.as_object_mut(), extensions) {
        options.extend(extensions);
    }
    if let Some(options) = options.as_object_mut() {
        options.retain(|_, value| !value.is_null());
    }
    options
}
