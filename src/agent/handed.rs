//! What the module was handed in its desired properties: the deployment, or the twin of `$edgeAgent`, which says also what
//! runs.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::evidence::RuntimeTwins;
use crate::manifest::Manifest;
use crate::settings::{Desired, Handed};
use crate::sources::{Look, Question, Sight, Source};
use crate::text;

/// The text in the settings, asked for one thing.
#[derive(Debug, Clone)]
pub(super) struct HandedOver {
    desired: watch::Receiver<Option<Desired>>,
    question: Question,
    /// What was read last: the text stays the same for days.
    read: Arc<Mutex<Option<Arc<Read>>>>,
}

/// A text, and what it says.
#[derive(Debug)]
struct Read {
    handed: Handed,
    twins: Option<RuntimeTwins>,
    /// None where it holds no deployment.
    manifest: Option<Result<Manifest, String>>,
}

impl HandedOver {
    /// One for each question that the text may answer.
    pub(super) fn all(desired: &watch::Receiver<Option<Desired>>) -> [Self; 2] {
        let read = Arc::default();
        [Question::Manifest, Question::Modules].map(|question| Self {
            desired: desired.clone(),
            question,
            read: Arc::clone(&read),
        })
    }

    /// What the text says, read once.
    fn read(&self) -> Option<Arc<Read>> {
        let desired = self.desired.borrow();
        let handed = desired.as_ref().and_then(|desired| desired.settings.manifest.as_ref())?;
        if handed.text().trim().is_empty() {
            return None;
        }
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if known.handed == *handed => Some(Arc::clone(known)),
            _ => Some(Arc::clone(known.insert(Arc::new(Read::of(handed.clone()))))),
        }
    }

    fn sight(&self) -> Result<Option<Sight>, String> {
        let Some(read) = self.read() else { return Ok(None) };
        match self.question {
            Question::Modules => Ok(read.twins.clone().map(|twins| Sight::Twins(Box::new(twins)))),
            _ => read.manifest.clone().transpose().map(|manifest| manifest.map(Box::new).map(Sight::Manifest)),
        }
    }
}

impl Source for HandedOver {
    fn name(&self) -> &'static str {
        match self.question {
            Question::Modules => "desired property manifest, as a twin",
            _ => "desired property manifest",
        }
    }

    fn question(&self) -> Question {
        self.question
    }

    fn look(&self) -> Look<'_> {
        Box::pin(std::future::ready(self.sight()))
    }
}

impl Read {
    fn of(handed: Handed) -> Self {
        let twins = RuntimeTwins::read(handed.text());
        let manifest = match &twins {
            None => Some(manifest(handed.text())),
            Some(twins) => twins.manifest_text().map(|text| manifest(&text)),
        };
        Self { handed, twins, manifest }
    }
}

fn manifest(text: &str) -> Result<Manifest, String> {
    Manifest::read(&text::Source::new("manifest", text)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sources(value: &Value) -> [HandedOver; 2] {
        let desired = Desired::default().then(&json!({ "manifest": value.to_string() }));
        HandedOver::all(&watch::Sender::new(Some(desired)).subscribe())
    }

    #[test]
    fn a_twin_says_what_is_written_and_what_runs() {
        let [manifest, modules] = sources(&json!({ "deviceId": "d", "moduleId": "$edgeAgent", "properties": {
            "desired": { "modules": { "scorer": { "settings": { "image": "i" } } }, "$version": 3 },
            "reported": { "modules": { "scorer": { "runtimeStatus": "backoff", "exitCode": 139 } } } } }));
        let Ok(Some(Sight::Manifest(manifest))) = manifest.sight() else { panic!("no manifest") };
        assert_eq!(manifest.modules().map(|module| module.id().to_owned()).collect::<Vec<_>>(), ["scorer"]);
        let Ok(Some(Sight::Twins(twins))) = modules.sight() else { panic!("no twin") };
        assert_eq!(twins.modules.unwrap()["scorer"].exit_code, 139);
    }

    #[test]
    fn a_deployment_says_what_is_written_alone() {
        let deployment =
            json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {} } } } } });
        let [manifest, modules] = sources(&deployment);
        assert!(matches!(manifest.sight(), Ok(Some(Sight::Manifest(_)))));
        assert!(matches!(modules.sight(), Ok(None)));
        let [manifest, _] = sources(&json!([1]));
        assert!(manifest.sight().unwrap_err().contains("not an IoT Edge deployment"));
    }

    #[test]
    fn a_text_is_read_once_until_another_one_is_handed_over() {
        let desired = |image: &str| {
            let text = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
                "settings": { "image": image } } } } } } });
            Some(Desired::default().then(&json!({ "manifest": text.to_string() })))
        };
        let handed = watch::Sender::new(desired("a"));
        let [manifest, modules] = HandedOver::all(&handed.subscribe());
        let first = manifest.read().unwrap();
        assert!(Arc::ptr_eq(&first, &manifest.read().unwrap()) && Arc::ptr_eq(&first, &modules.read().unwrap()));
        handed.send_replace(desired("b"));
        let second = modules.read().unwrap();
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &manifest.read().unwrap()));
        assert!(second.handed.text().contains("\"b\""));
    }
}
