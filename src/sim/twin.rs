//! A module twin as IoT Hub and edgeHub keep it: sections with their versions, how patches merge, and what edgeHub and
//! IoT Hub refuse of them (`iothub-limits.md` §1).

use serde_json::{Map, Value, json};

use crate::hub::reported;

/// A module twin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Twin {
    pub(super) desired: Section,
    pub(super) reported: Section,
}

/// Desired or reported properties; the version grows by one with every change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    properties: Value,
    version: u64,
}

/// The release of the edgeHub that stands between a module and IoT Hub: what it refuses of a reported patch
/// (`iothub-limits.md` §1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Release {
    /// 1.0.8 and older, which can be met on FPGA devices.
    Old,
    /// 1.1.4 and later.
    #[default]
    Current,
}

/// What is legal in a patch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the patch as JSON.
    bytes: usize,
    /// Levels of objects, and of arrays where they are legal.
    depth: usize,
    /// Bytes of a key.
    key: usize,
    arrays: bool,
    /// Characters of keys that are refused besides white space and control characters.
    odd: &'static str,
}

/// IoT Hub's limits on what a patch says; on a section as a whole there is [`SECTION`] too (§1.1).
pub(super) const IOT_HUB: Limits = Limits { bytes: usize::MAX, depth: 10, key: 1_024, arrays: true, odd: ".$" };

/// The largest section by IoT Hub's own count, in bytes (§1.1).
const SECTION: usize = 32 * 1024;

impl Twin {
    /// A new twin with `desired` properties.
    pub(super) fn new(desired: Value) -> Self {
        Self { desired: Section::new(desired), reported: Section::new(json!({})) }
    }

    /// As a module gets it: `{"desired": {…,"$version":n}, "reported": {…,"$version":n}}`.
    pub(super) fn shown(&self) -> Value {
        json!({ "desired": self.desired.shown(), "reported": self.reported.shown() })
    }
}

impl Section {
    fn new(mut properties: Value) -> Self {
        drop_metadata(&mut properties);
        if !properties.is_object() {
            properties = json!({});
        }
        Self { properties, version: 1 }
    }

    pub(super) fn properties(&self) -> &Value {
        &self.properties
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The properties with `$version`.
    pub(super) fn shown(&self) -> Value {
        versioned(&self.properties, self.version)
    }

    /// Merges a patch that was found legal.
    pub(super) fn merge(&mut self, patch: &Value) {
        reported::merge(&mut self.properties, patch);
        self.version += 1;
    }

    /// Merges a patch, unless IoT Hub would refuse it: then nothing changes, and the error says why.
    pub(super) fn patch(&mut self, patch: &Value) -> Result<(), String> {
        IOT_HUB.check(patch)?;
        let mut merged = self.properties.clone();
        reported::merge(&mut merged, patch);
        self.replace(merged)
    }

    /// Puts other properties in place of all, unless there would be too many.
    pub(super) fn replace(&mut self, properties: Value) -> Result<(), String> {
        let size = reported::size(&properties);
        if size > SECTION {
            return Err(format!("the section would have {size} bytes, more than 32 KB"));
        }
        self.properties = properties;
        self.version += 1;
        Ok(())
    }
}

impl Release {
    /// Whether this edgeHub takes a reported patch; it looks at the patch alone.
    pub(super) fn check(self, patch: &Value) -> Result<(), String> {
        self.limits().check(patch)
    }

    fn limits(self) -> Limits {
        match self {
            Self::Old => Limits { bytes: 8_192, depth: 5, key: 4_096, arrays: false, odd: ".$#" },
            Self::Current => Limits { bytes: 32_768, depth: 10, key: 1_024, arrays: true, odd: ".$#" },
        }
    }
}

impl Limits {
    pub(super) fn check(&self, patch: &Value) -> Result<(), String> {
        let length = patch.to_string().len();
        if length > self.bytes {
            return Err(format!("the patch has {length} bytes, more than {}", self.bytes));
        }
        if patch.is_object() { self.below(patch, 0) } else { Err("a patch is an object".to_owned()) }
    }

    fn below(&self, value: &Value, depth: usize) -> Result<(), String> {
        match value {
            Value::Array(_) if !self.arrays => Err("arrays are not allowed".to_owned()),
            Value::Array(_) | Value::Object(_) if depth == self.depth => {
                Err(format!("more than {} levels", self.depth))
            }
            Value::Array(items) => items.iter().try_for_each(|item| match item {
                Value::Null => Err("null in an array is not allowed".to_owned()),
                item => self.below(item, depth + 1),
            }),
            Value::Object(members) => members.iter().try_for_each(|(key, value)| {
                let odd = |c: char| c.is_whitespace() || c.is_control() || self.odd.contains(c);
                if key.is_empty() || key.len() > self.key || key.contains(odd) {
                    return Err(format!("`{key}` is not allowed as a key"));
                }
                self.below(value, depth + 1)
            }),
            Value::String(text) if text.len() > 4_096 => Err("a text has more than 4096 bytes".to_owned()),
            Value::Number(number) if !is_in_range(number) => Err(format!("{number} is out of range")),
            _ => Ok(()),
        }
    }
}

/// `properties` with `$version` at their end.
pub(super) fn versioned(properties: &Value, version: u64) -> Value {
    let mut members = properties.as_object().cloned().unwrap_or_default();
    members.insert("$version".to_owned(), version.into());
    Value::Object(members)
}

/// Takes out what IoT Hub adds itself.
pub(super) fn drop_metadata(section: &mut Value) {
    if let Some(members) = section.as_object_mut() {
        members.retain(|key, _| !["$version", "$metadata"].contains(&key.as_str()));
    }
}

/// The patch that makes `after` of `before`; both are objects.
pub(super) fn difference(before: &Value, after: &Value) -> Value {
    let none = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, new)| match before.get(key) {
        Some(old) if old == new => None,
        Some(old) if old.is_object() && new.is_object() => Some((key.clone(), difference(old, new))),
        _ => Some((key.clone(), new.clone())),
    });
    gone.chain(changed).collect::<Map<_, _>>().into()
}

/// Patches that wait to be sent become one: later values win, and `null` stays, since it has to delete something.
pub(super) fn combine(pending: &mut Value, patch: &Value) {
    let (Value::Object(pending), Value::Object(patch)) = (pending, patch) else { return };
    for (key, value) in patch {
        match pending.get_mut(key) {
            Some(known) if known.is_object() && value.is_object() => combine(known, value),
            _ => {
                pending.insert(key.clone(), value.clone());
            }
        }
    }
}

/// −2^52 … 2^52−1 (`iothub-limits.md` §1.1); fractions pass.
fn is_in_range(number: &serde_json::Number) -> bool {
    if number.is_f64() {
        return true;
    }
    number.as_i64().is_some_and(|number| (-(1 << 52)..1 << 52).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn each_release_refuses_what_it_refuses() {
        let cases = [
            (nested(5), None, None),
            (nested(6), Some("5 levels"), None),
            (nested(11), Some("5 levels"), Some("10 levels")),
            (json!({"a": [1]}), Some("arrays"), None),
            (json!({"a": [1, null]}), Some("arrays"), Some("null in an array")),
            (json!({"a.b": 1}), Some("not allowed"), Some("not allowed")),
            (json!({"": 1}), Some("not allowed"), Some("not allowed")),
            (json!({"a".repeat(2_000): 1}), None, Some("not allowed")),
            (json!({"a": "x".repeat(4_097)}), Some("4096"), Some("4096")),
            (json!({"a": 1_i64 << 52}), Some("out of range"), Some("out of range")),
            (json!({"a": u64::MAX}), Some("out of range"), Some("out of range")),
            (json!({"a": -(1_i64 << 52), "b": 1.5e300, "c": null}), None, None),
            (json!({"a": "x".repeat(4_000), "b": "x".repeat(4_000), "c": "x".repeat(400)}), Some("8192"), None),
            (json!(1), Some("object"), Some("object")),
        ];
        for (patch, old, current) in cases {
            for (release, why) in [(Release::Old, old), (Release::Current, current)] {
                let answer = release.check(&patch);
                assert_eq!(answer.is_ok(), why.is_none(), "{release:?}: {answer:?}");
                assert!(answer.err().unwrap_or_default().contains(why.unwrap_or_default()), "{release:?} {why:?}");
            }
        }
    }

    #[test]
    fn a_section_that_grows_too_large_stays_as_it_is() {
        let mut section = Section::new(json!({ "a": 1, "$version": 9 }));
        assert_eq!(section.shown(), json!({ "a": 1, "$version": 1 }));
        for i in 0..8 {
            section.patch(&json!({ format!("k{i}"): "x".repeat(4_000) })).unwrap();
        }
        let before = section.clone();
        assert!(section.patch(&json!({ "more": "x".repeat(4_000) })).unwrap_err().contains("32 KB"));
        assert_eq!(section, before);
        section.patch(&json!({ "k0": null, "more": "x".repeat(4_000) })).unwrap();
        assert_eq!(section.version(), 10);
    }

    #[test]
    fn what_waits_becomes_one_patch_and_keeps_its_nulls() {
        let mut pending = json!({ "a": { "x": 1, "y": null }, "b": 1 });
        combine(&mut pending, &json!({ "a": { "x": null }, "b": { "z": 1 }, "c": null }));
        assert_eq!(pending, json!({ "a": { "x": null, "y": null }, "b": { "z": 1 }, "c": null }));
    }

    #[test]
    fn a_difference_leads_from_before_to_after() {
        let (mut before, after) =
            (json!({ "a": { "x": 1, "y": 2 }, "b": 1 }), json!({ "a": { "x": 1, "z": 3 }, "c": 2 }));
        let patch = difference(&before, &after);
        assert_eq!(patch, json!({ "b": null, "a": { "y": null, "z": 3 }, "c": 2 }));
        reported::merge(&mut before, &patch);
        assert_eq!(before, after);
    }
}
