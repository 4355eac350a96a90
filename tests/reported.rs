//! Reported properties converge on the truth through legal patches only, whatever happens to a device.

use edgeshift::hub::reported::{MAX_DEPTH, MAX_PATCH, merge, patches};
use proptest::collection::btree_map;
use proptest::prelude::*;
use serde_json::Value;

/// A section as the module makes it: a few plain members, and objects with entries that come, change and go.
fn section() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof!["[a-z]{0,40}".prop_map(Value::from), any::<u32>().prop_map(Value::from)];
    let entry = btree_map("[a-d]{1,3}", leaf.clone(), 1..5).prop_map(object);
    let entries = btree_map("[a-zA-Z-]{1,30}", entry, 0..80).prop_map(object);
    btree_map("[a-f]", prop_oneof![leaf, entries], 0..6).prop_map(object)
}

fn object(members: std::collections::BTreeMap<String, Value>) -> Value {
    Value::Object(members.into_iter().collect())
}

fn depth(value: &Value) -> usize {
    value.as_object().map_or(0, |members| 1 + members.values().map(depth).max().unwrap_or(0))
}

/// Without objects that are empty: deleting the last entry may leave one behind or not.
fn pruned(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let members = members.iter().map(|(key, value)| (key.clone(), pruned(value)));
    Value::Object(members.filter(|(_, value)| value.as_object().is_none_or(|inner| !inner.is_empty())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patches_are_legal_and_lead_to_the_new_section(steps in proptest::collection::vec(section(), 1..5)) {
        let mut twin = Value::Object(serde_json::Map::new());
        for after in steps {
            for patch in patches(&twin.clone(), &after) {
                prop_assert!(patch.to_string().len() <= MAX_PATCH);
                prop_assert!(depth(&patch) <= MAX_DEPTH);
                merge(&mut twin, &patch);
            }
            prop_assert_eq!(pruned(&twin), pruned(&after));
            prop_assert!(patches(&twin, &after).is_empty());
        }
    }
}
