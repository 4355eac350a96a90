//! IoT Hub as far as one IoT Edge device knows it: the twins of its modules, and what arrives. It speaks to edgeHub
//! through [`Change`]s and is asked over HTTPS by `service`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::twin::{Twin, drop_metadata};
use crate::hub::topic::Properties;

/// The twins in the cloud.
#[derive(Debug)]
pub struct IotHub {
    twins: Mutex<BTreeMap<String, Kept>>,
    changes: mpsc::UnboundedSender<Change>,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

/// What reached IoT Hub.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// A patch of a module's reported properties, merged.
    Reported {
        /// Whose.
        module: String,
        /// As edgeHub sent it: several patches of the module may have become one.
        patch: Value,
    },
    /// A message that a route led to `$upstream`.
    Telemetry {
        /// Whose.
        module: String,
        /// System properties and the module's own; the output is [`Properties::OUTPUT`].
        properties: Properties,
        /// The body.
        body: Vec<u8>,
    },
}

/// The desired properties of a module changed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) module: String,
    /// What changed.
    pub(super) patch: Value,
    pub(super) version: u64,
}

/// Why IoT Hub refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such module.
    #[error("there is no module {0}")]
    NoModule(String),
    /// The etag is not the twin's any more.
    #[error("the twin has changed meanwhile")]
    Etag,
    /// The patch or the section is illegal.
    #[error("{0}")]
    Illegal(String),
}

#[derive(Debug)]
struct Kept {
    twin: Twin,
    tags: Value,
    /// Counts what the service changed.
    version: u64,
}

impl IotHub {
    /// A hub that knows these modules with their desired properties; what edgeHub will be told, and what will arrive.
    pub(super) fn new(
        modules: BTreeMap<String, Value>,
    ) -> (Self, mpsc::UnboundedReceiver<Change>, mpsc::UnboundedReceiver<Arrival>) {
        let kept = |desired| Kept { twin: Twin::new(desired), tags: json!({}), version: 1 };
        let twins = modules.into_iter().map(|(id, desired)| (id, kept(desired))).collect();
        let (changes, told) = mpsc::unbounded_channel();
        let (arrivals, arrived) = mpsc::unbounded_channel();
        (Self { twins: Mutex::new(twins), changes, arrivals }, told, arrived)
    }

    /// The twin of a module as a module sees it, as it is in the cloud now.
    pub fn twin(&self, module: &str) -> Option<Value> {
        self.kept(module).map(|twin| twin.shown())
    }

    /// Patches the desired properties of a module; the new version.
    pub fn desire(&self, module: &str, patch: &Value) -> Result<u64, Refusal> {
        self.update(module, None, |kept| kept.twin.desired.patch(patch))?;
        Ok(self.kept(module).map_or(0, |twin| twin.desired.version()))
    }

    /// The ids of the modules.
    pub(super) fn modules(&self) -> Vec<String> {
        self.twins().keys().cloned().collect()
    }

    pub(super) fn kept(&self, module: &str) -> Option<Twin> {
        self.twins().get(module).map(|kept| kept.twin.clone())
    }

    /// The twin as services get it (`iothub-limits.md` §1.1).
    pub(super) fn shown(&self, device: &str, module: &str) -> Option<Value> {
        let twins = self.twins();
        let kept = twins.get(module)?;
        let section = |mut shown: Value| {
            shown["$metadata"] = json!({ "$lastUpdated": "1970-01-01T00:00:00Z" });
            shown
        };
        Some(json!({
            "deviceId": device,
            "moduleId": module,
            "etag": kept.etag(),
            "status": "enabled",
            "version": kept.version,
            "tags": kept.tags,
            "properties": {
                "desired": section(kept.twin.desired.shown()),
                "reported": section(kept.twin.reported.shown()),
            },
        }))
    }

    /// Applies the body of a PATCH (merges) or PUT (replaces) of a twin, where `etag` is still the twin's.
    pub(super) fn write(&self, module: &str, etag: Option<&str>, body: &Value, replace: bool) -> Result<(), Refusal> {
        let mut desired = body["properties"]["desired"].clone();
        drop_metadata(&mut desired);
        self.update(module, etag, |kept| {
            match &body["tags"] {
                Value::Null => {}
                tags if replace => kept.tags = tags.clone(),
                tags => crate::hub::reported::merge(&mut kept.tags, tags),
            }
            match desired {
                Value::Null if replace => kept.twin.desired.replace(json!({})),
                Value::Null => Ok(()),
                _ if !desired.is_object() => Err("desired properties are an object".to_owned()),
                desired if replace => kept.twin.desired.replace(desired),
                desired => kept.twin.desired.patch(&desired),
            }
        })
    }

    /// What edgeHub sends for a module.
    pub(super) fn report(&self, module: &str, patch: &Value) -> Result<(), Refusal> {
        let mut twins = self.twins();
        let kept = twins.get_mut(module).ok_or_else(|| Refusal::NoModule(module.to_owned()))?;
        kept.twin.reported.patch(patch).map_err(Refusal::Illegal)?;
        // Nobody may listen: that is the caller's choice.
        let _ = self.arrivals.send(Arrival::Reported { module: module.to_owned(), patch: patch.clone() });
        Ok(())
    }

    /// A message that came through edgeHub.
    pub(super) fn hear(&self, module: &str, properties: Properties, body: Vec<u8>) {
        let _ = self.arrivals.send(Arrival::Telemetry { module: module.to_owned(), properties, body });
    }

    fn update(
        &self,
        module: &str,
        etag: Option<&str>,
        change: impl FnOnce(&mut Kept) -> Result<(), String>,
    ) -> Result<(), Refusal> {
        let mut twins = self.twins();
        let kept = twins.get_mut(module).ok_or_else(|| Refusal::NoModule(module.to_owned()))?;
        if etag.is_some_and(|etag| etag != kept.etag()) {
            return Err(Refusal::Etag);
        }
        let before = kept.twin.desired.clone();
        change(kept).map_err(Refusal::Illegal)?;
        kept.version += 1;
        let after = &kept.twin.desired;
        if after.version() != before.version() {
            let patch = super::twin::difference(before.properties(), after.properties());
            let _ = self.changes.send(Change { module: module.to_owned(), patch, version: after.version() });
        }
        Ok(())
    }

    fn twins(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn etag(&self) -> String {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(self.version.to_be_bytes())
    }
}
