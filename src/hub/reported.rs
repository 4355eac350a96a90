//! Reported properties: what the module writes into its twin, and the patches that get it there. They obey the oldest
//! edgeHub that can be met (`iothub-limits.md` §1.4, §1.5): small flat patches, no arrays, plain keys.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::message::{Module, second};
use crate::evidence::{DriverState, GpuWindow, Snapshot};
use crate::report::{Report, Settled, Standing, Standings, Subject};
use crate::settings::Desired;

/// The longest patch, in bytes of JSON: edgeHub up to 1.0.8 takes 8,192.
pub const MAX_PATCH: usize = 8_000;
/// The deepest patch: edgeHub up to 1.0.8 takes 5 levels.
pub const MAX_DEPTH: usize = 5;
/// The whole section by IoT Hub's own count: 32 KB, less a quarter in reserve.
pub const MAX_SECTION: usize = 24 * 1024;
/// The longest text, in characters.
const MAX_TEXT: usize = 512;
/// The most refused settings that are listed.
const MAX_REFUSED: usize = 10;

/// What the module says about itself.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The desired properties that are in force.
    pub desired: Option<&'a Desired>,
    /// How often each of its tasks died.
    pub restarts: &'a BTreeMap<&'static str, u64>,
    /// Entries that IoT Hub does not take.
    pub withheld: usize,
    /// Messages that were dropped before they could be sent.
    pub dropped: u64,
}

/// The whole section for one report. `gpus` are those of the last summary: figures that move all the time belong into
/// telemetry, since every change here costs a twin write. Modules that do not fit are left out, the well ones first,
/// and counted.
pub fn section(
    report: &Report,
    standings: &Standings,
    snapshot: &Snapshot,
    (modules, gpus): (&[Module], &[GpuWindow]),
    about: &About<'_>,
) -> Value {
    let summary = standings.summary;
    let mut section = json!({
        "edgeshift": about.edgeshift(report),
        "settings": about.settings(),
        "health": standings.overall.standing.health.word(),
        "health_since": second(standings.overall.since),
        "findings": {
            "block": summary.block, "silent": summary.silent, "warn": summary.warn, "info": summary.info,
            "fixable": summary.fixable, "not_evaluated": standings.not_evaluated, "broken": report.ledger().broken,
        },
        "gpus": gpus.iter().map(|window| gpu(window, standings)).collect::<Map<_, _>>(),
        "modules": {},
    });
    // Where nobody ever had a GPU there is nothing to say.
    if let Some(driver) = snapshot.gpu_driver.known().filter(|driver| driver.state != DriverState::NoLibrary) {
        section["gpu_driver"] = json!({ "state": driver.state });
        if let Some(version) = &driver.version {
            section["gpu_driver"]["version"] = cut(version).into();
        }
    }
    let mut ordered: Vec<&Module> = modules.iter().collect();
    ordered.sort_by_key(|module| std::cmp::Reverse(module.settled.standing.health));
    let mut room = MAX_SECTION.saturating_sub(size(&section) + key("modules_left_out").len() + 8);
    let mut shown = Map::new();
    for module in &ordered {
        let entry = entry(module, snapshot);
        let cost = key(&module.id).len() + size(&entry);
        if cost > room {
            break;
        }
        room -= cost;
        shown.insert(key(&module.id), entry);
    }
    let left_out = ordered.len() - shown.len();
    section["modules"] = Value::Object(shown);
    if left_out > 0 {
        section["modules_left_out"] = left_out.into();
    }
    section
}

/// What has to be patched to get from `before` to `after`: legal patches, to be sent in order. Nothing where nothing
/// changed.
pub fn patches(before: &Value, after: &Value) -> Vec<Value> {
    let Some(Value::Object(change)) = difference(before, after) else { return Vec::new() };
    // Packed by the smallest parts that stand alone: a member of a member, else a member.
    let mut patches: Vec<Map<String, Value>> = Vec::new();
    let mut length = MAX_PATCH;
    let mut put = |top: &str, inner: Option<&str>, value: &Value| {
        // At most: both keys in quotes with their colons, commas and braces.
        let cost = quoted_len(top) + inner.map_or(0, quoted_len) + value.to_string().len() + 8;
        if length + cost > MAX_PATCH {
            patches.push(Map::new());
            length = 2;
        }
        length += cost;
        let Some(patch) = patches.last_mut() else { return };
        match inner {
            None => {
                patch.insert(top.to_owned(), value.clone());
            }
            Some(inner) => {
                let members = patch.entry(top).or_insert_with(|| Value::Object(Map::new()));
                members[inner] = value.clone();
            }
        }
    };
    for (top, value) in &change {
        match value {
            Value::Object(members) if !members.is_empty() => {
                members.iter().for_each(|(inner, value)| put(top, Some(inner), value));
            }
            value => put(top, None, value),
        }
    }
    patches.into_iter().map(Value::Object).collect()
}

/// `patch` laid over `twin` as IoT Hub does it: objects merge, `null` deletes.
pub fn merge(twin: &mut Value, patch: &Value) {
    let (Value::Object(twin), Value::Object(patch)) = (twin, patch) else { return };
    for (key, value) in patch {
        match value {
            Value::Null => {
                twin.remove(key);
            }
            Value::Object(_) => {
                let inner = twin.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
                if !inner.is_object() {
                    *inner = Value::Object(Map::new());
                }
                merge(inner, value);
            }
            value => {
                twin.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A key that every edgeHub takes for `name`: `. $ # %`, blanks and control characters become `%` and two hex digits
/// a byte, and long names are cut.
pub fn key(name: &str) -> String {
    let mut key = String::new();
    for c in name.chars().take(128) {
        if c.is_control() || c.is_whitespace() || ".$#%".contains(c) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(key, "%{byte:02X}");
            }
        } else {
            key.push(c);
        }
    }
    if key.is_empty() { "%".to_owned() } else { key }
}

/// The size of a section by IoT Hub's own count (`iothub-limits.md` §1.1): keys and strings by their bytes, numbers 8,
/// booleans 4.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| key.len() + size(value)).sum(),
    }
}

impl About<'_> {
    fn edgeshift(&self, report: &Report) -> Value {
        let target = report.target.to_string();
        let mut section = json!({ "version": env!("CARGO_PKG_VERSION"), "schema": 1, "target": target });
        let restarts: Map<_, _> = self.restarts.iter().map(|(task, times)| (key(task), (*times).into())).collect();
        if !restarts.is_empty() {
            section["restarts"] = restarts.into();
        }
        for (key, count) in [("withheld", self.withheld as u64), ("messages_dropped", self.dropped)] {
            if count > 0 {
                section[key] = count.into();
            }
        }
        section
    }

    /// Which desired properties are in force, and which were refused: the first few, for there is no end to them.
    fn settings(&self) -> Value {
        let Some(desired) = self.desired else { return json!({}) };
        let mut section = json!({});
        if let Some(version) = desired.version {
            section["version"] = version.into();
        }
        let refused = desired.refused.iter().take(MAX_REFUSED);
        let refused: Map<_, _> = refused.map(|(name, problem)| (key(name), cut(problem).into())).collect();
        if !refused.is_empty() {
            section["refused"] = refused.into();
        }
        section
    }
}

fn entry(module: &Module, snapshot: &Snapshot) -> Value {
    let Settled { standing, since, before, .. } = &module.settled;
    let mut entry = json!({ "state": module.state, "health": standing.health.word(), "health_since": second(*since) });
    if let Some(rule) = standing.rule {
        entry["rule"] = rule.into();
    }
    if let Some(before) = before {
        entry["health_before"] = before.health.word().into();
    }
    if let Some(since) = snapshot.state_since(&module.id) {
        entry["since"] = second(since).into();
    }
    let reported = snapshot.modules.known().and_then(|modules| modules.get(&module.id));
    if let Some(state) = reported.filter(|_| module.state != "running") {
        entry["description"] = cut(&state.description).into();
    }
    entry
}

/// The figures are those of the last summary, the health is that of now.
fn gpu(window: &GpuWindow, standings: &Standings) -> (String, Value) {
    let gpu = &window.last;
    let settled = standings.of(&Subject::Gpu(gpu.uuid.as_str().into()));
    let standing = settled.map_or(Standing::UNJUDGED, |settled| settled.standing);
    #[expect(clippy::cast_possible_truncation, reason = "a share of time in percent")]
    let percent = |share: f64| (share.clamp(0.0, 1.0) * 100.0).round() as i64;
    let mut value = json!({
        "name": cut(&gpu.name),
        "state": gpu.state,
        "health": standing.health.word(),
        "rule": standing.rule,
        "busy_percent": window.utilization_mean.map(percent),
        "busy_percent_max": window.utilization_max.map(percent),
        "memory_used_mib": gpu.memory_used_mib,
        "memory_total_mib": gpu.memory_total_mib,
        "temperature_c": gpu.temperature_c,
        "temperature_max_c": window.temperature_max_c,
    });
    if let Some(entries) = value.as_object_mut() {
        entries.retain(|_, value| !value.is_null());
    }
    (key(&gpu.uuid), value)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The patch from `before` to `after`, `None` where they are equal.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
            let changed = new.iter().filter_map(|(key, value)| {
                let change = old.get(key).map_or_else(|| Some(value.clone()), |old| difference(old, value));
                Some((key.clone(), change?))
            });
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (before != after).then(|| after.clone()),
    }
}

fn quoted_len(key: &str) -> usize {
    Value::from(key).to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changed_is_no_patch() {
        let section = json!({"a": {"b": 1}});
        assert_eq!(patches(&section, &section), Vec::<Value>::new());
    }

    #[test]
    fn what_went_away_is_deleted() {
        let patches =
            patches(&json!({"modules": {"a": {"x": 1}, "b": {"x": 1}}}), &json!({"modules": {"a": {"x": 2}}}));
        assert_eq!(patches, [json!({"modules": {"b": null, "a": {"x": 2}}})]);
    }

    #[test]
    fn keys_are_legal_and_differ() {
        assert_eq!(key("$edgeAgent"), "%24edgeAgent");
        assert_eq!(key("a.b c#%"), "a%2Eb%20c%23%25");
        assert_eq!(key(""), "%");
    }

    #[test]
    fn size_is_counted_as_the_hub_does() {
        assert_eq!(size(&json!({"ab": "xyz", "n": 1, "b": true, "o": {"k": "é"}})), 2 + 3 + 1 + 8 + 1 + 4 + 1 + 1 + 2);
    }
}
