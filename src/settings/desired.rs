//! Settings out of the desired properties of the module twin, key by key: what cannot be used is refused with its reason,
//! and what was in force before stays.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Settings;
use super::handed::in_order;

/// Sections whose members are judged one by one.
const SECTIONS: [&str; 4] = ["intervals", "metrics", "outputs", "site"];

/// Lists; twins had no arrays for long, so one may be written as an object with numbers for keys
/// (`iothub-limits.md` §1.3).
const LISTS: [&[&str]; 2] = [&["suppress"], &["site", "shares"]];

/// Desired properties, and what became of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// What is in force.
    pub settings: Settings,
    /// `$version` of the section.
    pub version: Option<i64>,
    /// What was refused: dotted key and why.
    pub refused: BTreeMap<String, String>,
    /// The properties that are in force, as they were written.
    accepted: Map<String, Value>,
}

impl Desired {
    /// Reads a whole section. A key that is gone has its default again; one that cannot be used keeps what it had in
    /// `self`.
    #[must_use]
    pub fn then(&self, section: &Value) -> Self {
        let mut read = Self { version: section.get("$version").and_then(Value::as_i64), ..Self::default() };
        let members = section.as_object().into_iter().flatten().filter(|(key, _)| !key.starts_with('$'));
        for (key, value) in members {
            let value = with_lists(key, value);
            match (usable(&[key], &value), &value) {
                (Ok(()), _) => {
                    read.accepted.insert(key.clone(), value);
                }
                (Err(_), Value::Object(inner)) if SECTIONS.contains(&key.as_str()) => {
                    let section = self.members(&mut read, key, inner);
                    read.accepted.insert(key.clone(), Value::Object(section));
                }
                (Err(problem), _) => {
                    read.refused.insert(key.clone(), problem);
                    if let Some(before) = self.accepted.get(key) {
                        read.accepted.insert(key.clone(), before.clone());
                    }
                }
            }
        }
        match Settings::from_json(Value::Object(read.accepted.clone())) {
            Ok(settings) => Self { settings, ..read },
            // Each is well alone, and they contradict each other.
            Err(error) => {
                read.refused.insert(error.key, error.problem);
                Self { settings: self.settings.clone(), accepted: self.accepted.clone(), ..read }
            }
        }
    }

    /// The members of the section `key` that are in force.
    fn members(&self, read: &mut Self, key: &str, members: &Map<String, Value>) -> Map<String, Value> {
        let mut accepted = Map::new();
        for (member, value) in members {
            match usable(&[key, member], value) {
                Ok(()) => {
                    accepted.insert(member.clone(), value.clone());
                }
                Err(problem) => {
                    read.refused.insert(format!("{key}.{member}"), problem);
                    if let Some(before) = self.accepted.get(key).and_then(|section| section.get(member)) {
                        accepted.insert(member.clone(), before.clone());
                    }
                }
            }
        }
        accepted
    }
}

/// Whether `value` could be the setting at `path`, if it were the only one.
fn usable(path: &[&str], value: &Value) -> Result<(), String> {
    let alone = path.iter().rev().fold(value.clone(), |value, key| serde_json::json!({ *key: value }));
    Settings::from_json(alone).map(drop).map_err(|error| error.problem)
}

/// `value` with the lists that it holds as arrays.
fn with_lists(key: &str, value: &Value) -> Value {
    let mut value = value.clone();
    for list in LISTS.iter().filter(|list| list[0] == key) {
        let at = list[1..].iter().try_fold(&mut value, |at, key| at.get_mut(*key));
        if let Some(at) = at
            && let Value::Object(members) = &*at
            && let Ok(items) = in_order(members.clone())
        {
            *at = Value::Array(items);
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_used_keeps_what_was_in_force() {
        let first = Desired::default().then(&json!({
            "$version": 3, "target": "ase-vm", "site": { "gpus": 2 }, "intervals": { "collect": 5 },
        }));
        assert_eq!((first.version, first.refused.len(), first.settings.site.gpus), (Some(3), 0, Some(2)));
        let then = first.then(&json!({
            "$version": 4, "target": "moon", "site": { "gpus": -1, "external_ips": 4 }, "intervals": { "collect": 0 }, "colour": "red",
        }));
        assert_eq!(
            then.refused.keys().collect::<Vec<_>>(),
            ["colour", "intervals.collect", "site.gpus", "target"],
            "{then:?}"
        );
        assert_eq!(then.settings.target, first.settings.target);
        assert_eq!((then.settings.site.gpus, then.settings.site.external_ips), (Some(2), Some(4)));
        assert!((then.settings.intervals.collect - 5.0).abs() < f64::EPSILON);
        assert!(then.refused["target"].contains("ase-k8s"), "{then:?}");
    }

    #[test]
    fn what_is_gone_has_its_default_again() {
        let first = Desired::default().then(&json!({ "site": { "gpus": 2 }, "log": "debug" }));
        assert_eq!(first.then(&json!({})).settings, Settings::default());
    }

    #[test]
    fn lists_may_be_written_with_numbers_for_keys() {
        let read = Desired::default().then(&json!({
            "site": { "shares": { "10": "c", "2": "b", "0": "a" } },
            "suppress": { "0": { "rule": "storage-host-bind", "reason": "scratch" } },
        }));
        assert_eq!(read.refused.len(), 0, "{read:?}");
        assert_eq!(read.settings.site.shares.unwrap().len(), 3);
        assert_eq!(read.settings.suppress.len(), 1);
    }
}
