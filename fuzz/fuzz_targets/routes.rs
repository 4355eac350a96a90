#![no_main]
//! Any route, by any name, as a string and as an object.

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::Manifest;
use edgeshift::report::Outcome;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: (&str, &str)| {
    let (name, route) = input;
    let deployment = json!({ "modulesContent": {
        "$edgeAgent": { "properties.desired": { "modules": { "a": { "settings": { "image": "i" } } } } },
        "$edgeHub": {
            "properties.desired": { "routes": { name: route, "object": { "route": route, "priority": 1 } } },
            format!("properties.desired.routes.{name}"): route,
        },
    } });
    let manifest = Manifest::read(&Source::new("fuzz", deployment.to_string())).expect("the deployment around is sound");
    let report = check(&Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH), &Settings::default());
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
});
