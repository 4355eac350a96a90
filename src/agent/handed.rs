//! What the module was handed in its desired properties: the deployment, or the twin of `$edgeAgent`, which says also what
//! runs.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::sync::watch;

use crate::evidence::RuntimeStatus;
use crate::manifest::Manifest;
use crate::settings::{Desired, Handed};
use crate::sources::{Look, Question, ReportedModule, Sight, Source};
use crate::text;

/// The text in the settings, asked for one thing.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) desired: watch::Receiver<Option<Desired>>,
    pub(super) question: Question,
}

impl Source for HandedOver {
    fn name(&self) -> &'static str {
        "desired property manifest"
    }

    fn question(&self) -> Question {
        self.question
    }

    fn look(&self) -> Look<'_> {
        let handed = self.desired.borrow().as_ref().and_then(|desired| desired.settings.manifest.clone());
        let sight = handed.filter(|handed| !handed.text().trim().is_empty()).map(|handed| match self.question {
            Question::Modules => Ok(modules(&handed).map(Sight::Modules)),
            _ => manifest(&handed).map(|manifest| Some(Sight::Manifest(Box::new(manifest)))),
        });
        Box::pin(std::future::ready(sight.unwrap_or(Ok(None))))
    }
}

/// The deployment; of a twin its desired properties.
fn manifest(handed: &Handed) -> Result<Manifest, String> {
    let twin = twin(handed).map(|twin| {
        let desired = serde_json::json!({ "$edgeAgent": { "properties.desired": twin["properties"]["desired"] } });
        format!("{desired:#}")
    });
    let text = twin.as_deref().unwrap_or(handed.text());
    Manifest::read(&text::Source::new("manifest", text)).map_err(|error| error.to_string())
}

/// What runs, as the twin says; a deployment says nothing of it.
fn modules(handed: &Handed) -> Option<BTreeMap<String, ReportedModule>> {
    let twin = twin(handed)?;
    let reported = &twin["properties"]["reported"];
    let sections = ["systemModules", "modules"].into_iter().filter_map(|section| reported[section].as_object());
    let module = |(id, module): (&String, &Value)| {
        let text = |key: &str| module[key].as_str().unwrap_or_default();
        let status = RuntimeStatus::of_word(text("runtimeStatus"));
        let exit_code = module["exitCode"].as_i64().unwrap_or_default();
        (id.clone(), ReportedModule { status, description: text("statusDescription").to_owned(), exit_code })
    };
    let modules: BTreeMap<_, _> = sections.flatten().map(module).collect();
    (!modules.is_empty()).then_some(modules)
}

/// The text as a twin, if it is one.
fn twin(handed: &Handed) -> Option<Value> {
    let value: Value = serde_json::from_str(handed.text()).ok()?;
    value.get("properties")?.get("desired")?.is_object().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn handed(value: &Value) -> Handed {
        serde_json::from_value(Value::String(value.to_string())).unwrap()
    }

    #[test]
    fn a_twin_says_what_is_written_and_what_runs() {
        let twin = handed(&json!({ "deviceId": "d", "moduleId": "$edgeAgent", "properties": {
            "desired": { "modules": { "scorer": { "settings": { "image": "i" } } }, "$version": 3 },
            "reported": {
                "systemModules": { "edgeHub": { "runtimeStatus": "running", "exitCode": 0 } },
                "modules": { "scorer": { "runtimeStatus": "backoff", "statusDescription": "why", "exitCode": 139 } } } } }));
        assert_eq!(
            manifest(&twin).unwrap().modules().map(|module| module.id().to_owned()).collect::<Vec<_>>(),
            ["scorer"]
        );
        let modules = modules(&twin).unwrap();
        assert_eq!(modules.len(), 2);
        assert_eq!((modules["scorer"].status, modules["scorer"].exit_code), (RuntimeStatus::Backoff, 139));
    }

    #[test]
    fn a_deployment_says_what_is_written_alone() {
        let deployment = handed(
            &json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {} } } } } }),
        );
        assert_eq!(manifest(&deployment).unwrap().modules().count(), 1);
        assert!(modules(&deployment).is_none());
        assert!(manifest(&handed(&json!([1]))).unwrap_err().contains("not an IoT Edge deployment"));
    }
}
