//! Changes of siblings' twins, as a route brings them (`iotedge-protocol.md` §C6): laid over each other, without secrets, bounded.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::reported;
use crate::evidence::SiblingTwin;
use crate::manifest::{is_secret_name, open_text};

/// The most that is kept of one twin, bytes as IoT Hub counts; a twin may have four times that.
pub const MAX_SIZE: usize = 8 * 1024;
/// The most levels that are kept.
const MAX_DEPTH: usize = 10;

/// What is known of a sibling once `patch` came at `now`; `known` is what was known before.
pub fn taken(known: Option<SiblingTwin>, patch: &Value, now: Timestamp) -> SiblingTwin {
    let empty = || SiblingTwin { reported: Value::Object(Map::new()), patched_at: now, left_out: 0 };
    let mut twin = known.unwrap_or_else(empty);
    reported::merge(&mut twin.reported, &open(patch, MAX_DEPTH));
    twin.left_out += shorten(&mut twin.reported);
    twin.patched_at = now;
    twin
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

    fn known(patches: &[Value]) -> SiblingTwin {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        patches.iter().fold(None, |known, patch| Some(taken(known, patch, now))).unwrap()
    }

    #[test]
    fn patches_are_laid_over_each_other_without_secrets() {
        let known = known(&[
            json!({ "frames": { "in": 7, "out": 3 }, "model": "a", "$version": 4, "apiKey": "hunter2" }),
            json!({ "frames": { "out": 4 }, "model": null, "source": "rtsp://me:hunter2@camera/1", "sas": "SharedAccessKey=hunter2" }),
        ]);
        let expected = json!({ "frames": { "in": 7, "out": 4 }, "apiKey": "***",
            "source": "rtsp://**********@camera/1", "sas": "***********************" });
        assert_eq!((known.reported, known.left_out), (expected, 0));
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let deep = (0..40).fold(json!(1), |inner, _| json!({ "d": inner }));
        let known = known(&[json!({ "small": 1, "large": "x".repeat(MAX_SIZE) }), deep]);
        assert_eq!((known.reported.get("large"), known.left_out), (None, 1));
        assert!(known.reported.to_string().len() < 100, "{known:?}");
    }
}
