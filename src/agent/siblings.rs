//! The twins of siblings, out of the patches that a route of twin changes brings to our input `twins`
//! (`iotedge-protocol.md` §C6): laid over each other, without secrets, bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::evidence::SiblingTwin;
use crate::hub::message::Input;
use crate::hub::reported;
use crate::manifest::{is_secret_name, open_text};
use crate::sources::{Look, Question, Sight, Source};

/// The input that the route leads to.
const INPUT: &str = "twins";

/// The most siblings that are kept: a deployment has at most 50 modules (`iothub-limits.md` §4).
const MAX_SIBLINGS: usize = 64;
/// The most that is kept of one of them, as IoT Hub counts; a twin may have four times that.
const MAX_SIZE: usize = 8 * 1024;
/// The most levels that are kept.
const MAX_DEPTH: usize = 10;

/// The twins as they are known now.
#[derive(Debug, Clone)]
pub(super) struct Siblings(watch::Sender<Arc<BTreeMap<String, SiblingTwin>>>);

impl Siblings {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }

    /// Takes in what came to an input. What is no patch of a sibling's twin is passed over.
    pub(super) fn take(&self, input: &Input, now: Timestamp) {
        let patch: Option<Value> = serde_json::from_slice(&input.body).ok().filter(Value::is_object);
        let (INPUT, Some(sender), Some(patch)) = (input.name.as_str(), input.sender_module.as_deref(), patch) else {
            tracing::debug!(input = input.name, "A message that is no twin change was passed over.");
            return;
        };
        let is_taken = self.0.send_if_modified(|twins| {
            let twins = Arc::make_mut(twins);
            if !twins.contains_key(sender) && twins.len() >= MAX_SIBLINGS {
                return false;
            }
            let empty = || SiblingTwin { reported: Value::Object(Map::new()), patched_at: now, left_out: 0 };
            let twin = twins.entry(sender.to_owned()).or_insert_with(empty);
            reported::merge(&mut twin.reported, &open(&patch, MAX_DEPTH));
            twin.left_out += shorten(&mut twin.reported);
            twin.patched_at = now;
            true
        });
        if is_taken {
            tracing::debug!(module = sender, bytes = input.body.len(), "A sibling reported.");
        } else {
            tracing::warn!(module = sender, "There are too many siblings; this one's twin is not kept.");
        }
    }
}

impl Source for Siblings {
    fn name(&self) -> &'static str {
        "twin changes"
    }

    fn question(&self) -> Question {
        Question::Reports
    }

    fn look(&self) -> Look<'_> {
        let twins = Arc::clone(&self.0.borrow());
        let sight = (!twins.is_empty()).then(|| Sight::Reports(BTreeMap::clone(&twins)));
        Box::pin(std::future::ready(Ok(sight)))
    }
}

/// `patch` without `$version` and `$metadata`, and with everything secret overwritten; deeper than `depth` nothing is kept.
fn open(patch: &Value, depth: usize) -> Value {
    match patch {
        _ if depth == 0 => Value::Null,
        Value::Object(members) => {
            let members = members.iter().filter(|(key, _)| !key.starts_with('$'));
            let member = |(key, value): (&String, &Value)| {
                let is_secret = is_secret_name(key) && !value.is_null();
                (key.clone(), if is_secret { "***".into() } else { open(value, depth - 1) })
            };
            members.map(member).collect()
        }
        Value::Array(items) => items.iter().map(|item| open(item, depth - 1)).collect(),
        Value::String(text) => open_text(text).into(),
        plain => plain.clone(),
    }
}

/// Takes the largest members out until the rest is short enough; how many.
fn shorten(twin: &mut Value) -> u64 {
    let mut taken = 0;
    while reported::size(twin) > MAX_SIZE {
        let Some(members) = twin.as_object_mut() else { break };
        let largest = members.iter().max_by_key(|(key, value)| key.len() + reported::size(value));
        let Some(key) = largest.map(|(key, _)| key.clone()) else { break };
        members.shift_remove(&key);
        taken += 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn input(sender: &str, body: &str) -> Input {
        Input { name: INPUT.to_owned(), sender_module: Some(sender.to_owned()), body: body.as_bytes().to_vec() }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn known(siblings: &Siblings) -> Arc<BTreeMap<String, SiblingTwin>> {
        Arc::clone(&siblings.0.borrow())
    }

    #[test]
    fn patches_are_laid_over_each_other_without_secrets() {
        let siblings = Siblings::new();
        for body in [
            r#"{"frames": {"in": 7, "out": 3}, "model": "a", "$version": 4, "apiKey": "hunter2"}"#,
            r#"{"frames": {"out": 4}, "model": null, "source": "rtsp://me:hunter2@camera/1", "sas": "SharedAccessKey=hunter2"}"#,
        ] {
            siblings.take(&input("scorer", body), now());
        }
        let known = known(&siblings);
        let expected = json!({ "frames": { "in": 7, "out": 4 }, "apiKey": "***",
            "source": "rtsp://**********@camera/1", "sas": "***********************" });
        assert_eq!(known["scorer"].reported, expected);
        assert_eq!((known["scorer"].left_out, known["scorer"].patched_at), (0, now()));
    }

    #[test]
    fn what_is_no_twin_change_is_passed_over() {
        let siblings = Siblings::new();
        for body in ["", "{", "[]", "7", "null"] {
            siblings.take(&input("scorer", body), now());
        }
        siblings.take(&Input { name: "other".to_owned(), ..input("scorer", "{}") }, now());
        siblings.take(&Input { sender_module: None, ..input("scorer", "{}") }, now());
        assert!(known(&siblings).is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let siblings = Siblings::new();
        for i in 0..MAX_SIBLINGS + 10 {
            siblings.take(&input(&format!("m{i}"), r#"{"a": 1}"#), now());
        }
        assert_eq!(known(&siblings).len(), MAX_SIBLINGS);
        let long = json!({ "small": 1, "large": "x".repeat(MAX_SIZE) }).to_string();
        siblings.take(&input("m0", &long), now());
        let deep = format!("{}1{}", r#"{"d":"#.repeat(40), "}".repeat(40));
        siblings.take(&input("m0", &deep), now());
        let known = known(&siblings);
        assert_eq!((known["m0"].reported.get("large"), known["m0"].left_out), (None, 1));
        assert!(known["m0"].reported.to_string().len() < 100, "{:?}", known["m0"]);
    }
}
