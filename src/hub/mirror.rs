//! What we believe our reported properties are, and how they get there and stay true. edgeHub says 204 before IoT Hub has
//! agreed; what IoT Hub refuses, edgeHub keeps and sends again with everything that comes later, until it is
//! overwritten (`iothub-limits.md` §1.4). So the twin is read afterwards, and what did not arrive is taken back
//! with `null` and tried again in smaller parts, until those that cannot arrive stand alone and are left out.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::reported;

/// The smallest part that is sent and refused as a whole: a member of a member (`modules` and its id), else a member.
type Entry = (String, Option<String>);

/// Entries with the values that they had.
type Group = BTreeMap<Entry, Value>;

/// The reported properties as they should be at edgeHub.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// What edgeHub said that it took.
    known: Value,
    /// Under suspicion: taken back, to be tried again group by group.
    suspects: VecDeque<Group>,
    /// The group that is being tried.
    trying: Option<Group>,
    /// Refused alone; left out until they have another value.
    withheld: Group,
}

impl Mirror {
    /// Begins with the twin as it was read.
    pub fn of(reported: &Value) -> Self {
        Self { known: own(reported), ..Self::default() }
    }

    /// The patches that lead to `section`, as far as it can be sent, in order. Nothing where nothing changed.
    pub fn patches(&mut self, section: &Value) -> Vec<Value> {
        self.withheld.retain(|entry, value| get(section, entry) == Some(value));
        let held = self.suspects.iter().flatten().chain(&self.withheld);
        let mut aim = section.clone();
        for (entry, value) in held {
            if get(section, entry) == Some(value) {
                remove(&mut aim, entry);
            }
        }
        reported::patches(&self.known, &aim)
    }

    /// edgeHub took `patch`.
    pub fn taken(&mut self, patch: &Value) {
        reported::merge(&mut self.known, patch);
    }

    /// edgeHub refused `patch` itself: nothing of it is there.
    pub fn refused(&mut self, patch: &Value) {
        let group: Group = entries(patch).into_iter().filter(|(_, value)| !value.is_null()).collect();
        self.suspect(group, true);
    }

    /// Compares with the twin as it was read some time after the last patch. Says whether all is as it should be.
    pub fn check(&mut self, reported: &Value) -> bool {
        let seen = own(reported);
        let (mine, theirs) = (entries(&self.known), entries(&seen));
        let differs = |entry: &Entry| match (mine.get(entry), theirs.get(entry)) {
            (Some(mine), Some(theirs)) => !same(mine, theirs),
            (mine, theirs) => mine.is_some() || theirs.is_some(),
        };
        let trying = self.trying.take();
        let missing: Group = mine
            .iter()
            .filter(|(entry, _)| differs(entry))
            .map(|(entry, value)| (entry.clone(), value.clone()))
            .collect();
        let foreign: Vec<&Entry> = theirs.keys().filter(|entry| !mine.contains_key(*entry)).collect();
        if missing.is_empty() && foreign.is_empty() {
            self.trying = self.suspects.pop_front();
            return true;
        }
        // What somebody else wrote becomes known, so that the next patch deletes it.
        for entry in foreign {
            set(&mut self.known, entry, &theirs[entry]);
        }
        let (tried, others) = missing
            .into_iter()
            .partition::<Group, _>(|(entry, _)| trying.as_ref().is_some_and(|group| group.contains_key(entry)));
        self.suspect(tried, true);
        self.suspect(others, false);
        false
    }

    /// Whether a part is being tried that was under suspicion.
    pub fn is_trying(&self) -> bool {
        self.trying.is_some()
    }

    /// How many entries are left out because they cannot arrive.
    pub fn withheld(&self) -> usize {
        self.withheld.len()
    }

    /// Takes a group back: to be tried again, or in halves if it was tried alone.
    fn suspect(&mut self, mut group: Group, halve: bool) {
        match group.len() {
            0 => {}
            1 if halve => self.withheld.append(&mut group),
            _ if halve => {
                let middle = group.keys().nth(group.len() / 2).cloned();
                let second = middle.map(|middle| group.split_off(&middle)).unwrap_or_default();
                self.suspects.push_front(second);
                self.suspects.push_front(group);
            }
            _ => self.suspects.push_back(group),
        }
    }
}

/// The section without what the hub adds.
fn own(reported: &Value) -> Value {
    let members = reported.as_object().into_iter().flatten().filter(|(key, _)| !key.starts_with('$'));
    Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn entries(section: &Value) -> Group {
    let mut entries = Group::new();
    for (key, value) in section.as_object().into_iter().flatten() {
        match value {
            Value::Object(members) if !members.is_empty() => {
                entries
                    .extend(members.iter().map(|(inner, value)| ((key.clone(), Some(inner.clone())), value.clone())));
            }
            // IoT Hub keeps an empty object or drops it, and both say the same.
            Value::Object(_) => {}
            value => {
                entries.insert((key.clone(), None), value.clone());
            }
        }
    }
    entries
}

fn get<'v>(section: &'v Value, (key, inner): &Entry) -> Option<&'v Value> {
    let value = section.get(key)?;
    inner.as_ref().map_or(Some(value), |inner| value.get(inner))
}

/// Takes an entry out; an object that it leaves empty goes too.
fn remove(section: &mut Value, (key, inner): &Entry) {
    let Some(members) = section.as_object_mut() else { return };
    if let (Some(inner), Some(Value::Object(own))) = (inner, members.get_mut(key)) {
        own.remove(inner);
        if !own.is_empty() {
            return;
        }
    }
    members.remove(key);
}

fn set(section: &mut Value, (key, inner): &Entry, value: &Value) {
    let patch = match inner {
        Some(inner) => serde_json::json!({ key: { inner: value } }),
        None => serde_json::json!({ key: value }),
    };
    if section.is_null() {
        *section = Value::Object(Map::new());
    }
    reported::merge(section, &patch);
}

/// Whether two values say the same: edgeHub re-formats times, and a number may come back with a fraction.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::String(a), Value::String(b)) => {
            let time = |text: &str| text.parse::<Timestamp>().ok();
            a == b || time(a).is_some_and(|a| time(b) == Some(a))
        }
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An edgeHub that takes every patch and keeps what IoT Hub refuses pending, as §1.4 has it.
    struct Hub {
        reported: Value,
        pending: Value,
        poison: &'static str,
    }

    impl Hub {
        fn sync(&mut self) {
            if self.pending.to_string().contains(self.poison) {
                return;
            }
            reported::merge(&mut self.reported, &self.pending);
            self.pending = json!({});
        }

        fn patch(&mut self, patch: &Value) {
            // Unlike the twin, the pending patch keeps its nulls.
            fn lay(under: &mut Value, over: &Value) {
                match (under, over) {
                    (Value::Object(under), Value::Object(over)) => {
                        for (key, value) in over {
                            lay(under.entry(key.clone()).or_insert(Value::Null), value);
                        }
                    }
                    (under, over) => *under = over.clone(),
                }
            }
            lay(&mut self.pending, patch);
        }
    }

    #[test]
    fn one_poisoned_entry_is_found_and_the_others_arrive() {
        let modules: Map<String, Value> = (0..20)
            .map(|i| (format!("m{i}"), json!({ "state": if i == 13 { "poison" } else { "running" } })))
            .collect();
        let section = json!({ "health": "ready", "modules": modules });
        let mut hub = Hub { reported: json!({ "left": "over" }), pending: json!({}), poison: "poison" };
        let mut mirror = Mirror::of(&hub.reported);
        let mut rounds = 0;
        loop {
            for patch in mirror.patches(&section) {
                hub.patch(&patch);
                mirror.taken(&patch);
            }
            hub.sync();
            rounds += 1;
            assert!(rounds < 40, "{mirror:?}");
            if mirror.check(&hub.reported) && mirror.trying.is_none() && mirror.patches(&section).is_empty() {
                break;
            }
        }
        let mut expected = section.clone();
        expected["modules"].as_object_mut().unwrap().remove("m13");
        assert_eq!(hub.reported, expected);
        assert_eq!(mirror.withheld(), 1);
        // With another value it is tried again.
        let mut mended = section.clone();
        mended["modules"]["m13"]["state"] = "running".into();
        assert_eq!(mirror.patches(&mended), [json!({ "modules": { "m13": { "state": "running" } } })]);
        assert_eq!(mirror.withheld(), 0);
    }

    #[test]
    fn what_edge_hub_refuses_at_once_is_halved_too() {
        let section = json!({ "a": { "x": 1, "y": 2 } });
        let mut mirror = Mirror::of(&json!({}));
        let patches = mirror.patches(&section);
        mirror.refused(&patches[0]);
        assert!(mirror.patches(&section).is_empty());
        assert!(mirror.check(&json!({})));
        assert_eq!(mirror.patches(&section), [json!({ "a": { "x": 1 } })]);
    }

    #[test]
    fn times_and_numbers_are_compared_by_what_they_mean() {
        let mut mirror = Mirror::of(&json!({ "at": "2026-01-01T00:00:00Z", "n": 1, "$version": 3 }));
        assert!(mirror.check(&json!({ "at": "2026-01-01T00:00:00.000Z", "n": 1.0, "$version": 4, "empty": {} })));
        assert!(!mirror.check(&json!({ "at": "2026-01-01T00:00:01Z", "n": 1 })));
    }

    #[test]
    fn what_others_wrote_is_deleted() {
        let mut mirror = Mirror::of(&json!({ "a": 1 }));
        assert!(!mirror.check(&json!({ "a": 1, "b": { "c": 2 } })));
        assert_eq!(mirror.patches(&json!({ "a": 1 })), [json!({ "b": null })]);
    }
}
