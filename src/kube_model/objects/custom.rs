//! The `EdgeDeployment`, the custom object that the agent writes for itself (`k8s-translation.md` §8).

use serde_json::{Map, Value, json};

use super::super::AgentSettings;
use super::super::names::k8s_value;
use super::parameters::Parameters;
use crate::text::{At, value};

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
    let mut object = json!({
        "apiVersion": "microsoft.azure.devices.edge/v1",
        "kind": "EdgeDeployment",
        "metadata": {
            "name": custom_object_name(&settings.hub, &settings.device)?,
            "namespace": settings.namespace,
            "ownerReferences": [owner],
        },
    });
    // `json!` copies the values that it is given, with all that is in them; these are moved.
    object["spec"] = modules.iter().map(|parameters| module(parameters, &owner)).collect();
    Some(object)
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
    let mut settings = json!({ "image": parameters.image, "auth": auth });
    settings["createOptions"] = options(parameters);
    let mut module = json!({
        "name": parameters.module.id(),
        "version": text("version", ""),
        "type": text("type", "docker"),
        "status": text("status", "running"),
        "restartPolicy": text("restartPolicy", "always"),
        "imagePullPolicy": text("imagePullPolicy", "on-create"),
    });
    module["env"] = env.into();
    module["owner"] = owner.clone();
    module["settings"] = serde_json::to_string(&settings).unwrap_or_default().into();
    module
}

/// createOptions, with the agent's names at the top and Docker's below.
fn options(parameters: &Parameters<'_>) -> Value {
    let verbatim = |name: &str, key: &'static str| {
        (name.to_owned(), parameters.module.option(&[key]).and_then(value).unwrap_or(Value::Null))
    };
    let mut options = Map::from_iter([
        verbatim("env", "Env"),
        verbatim("exposedPorts", "ExposedPorts"),
        verbatim("hostConfig", "HostConfig"),
        verbatim("image", "Image"),
        verbatim("labels", "Labels"),
        ("cmd".to_owned(), json!(parameters.cmd)),
        ("entrypoint".to_owned(), json!(parameters.entrypoint)),
        ("workingDir".to_owned(), json!(parameters.working_dir)),
    ]);
    let extensions = parameters.extensions.as_ref().and_then(|extensions| serde_json::to_value(extensions).ok());
    if let Some(Value::Object(extensions)) = extensions {
        options.extend(extensions);
    }
    options.retain(|_, value| !value.is_null());
    options.into()
}
