#![no_main]
//! Any topic, and any twins and patches of it: what reads is written as it reads, and versions only go one way by patches.

use edgeshift::hub::desired::{Desired, Step, twin};
use edgeshift::hub::topic::{Filter, FromModule, ToModule};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (&str, Vec<(Option<u64>, &[u8])>)| {
    let (topic, bodies) = input;
    for prefix in ["", "$iothub/twin/res/", "$iothub/methods/POST/", "devices/d/modules/m/", "$iothub/twin/"] {
        let topic = format!("{prefix}{topic}");
        if let Some(read) = FromModule::parse(&topic) {
            assert_eq!(FromModule::parse(&read.to_string()), Some(read));
        }
        if let Some(read) = ToModule::parse(&topic) {
            assert_eq!(ToModule::parse(&read.to_string()), Some(read));
        }
        if let Some(read) = Filter::parse(&topic) {
            assert_eq!(Filter::parse(&read.to_string()), Some(read));
        }
    }
    let mut desired = Desired::default();
    let mut known = None;
    for (version, body) in bodies {
        if let Some(twin) = twin(body)
            && let Step::Changed(section) = desired.read(&twin)
        {
            known = section["$version"].as_u64();
        }
        let patch: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Step::Changed(section) = desired.patch(version, &patch) {
            let next = section["$version"].as_u64();
            assert_eq!(next, known.map(|known| known + 1));
            known = next;
        }
    }
});
