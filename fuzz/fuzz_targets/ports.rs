#![no_main]
//! Any port key and host port, and any string with an address in it.

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::Manifest;
use edgeshift::report::Outcome;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: (&str, &str)| {
    let (key, host) = input;
    let deployment = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
        "a": { "settings": { "image": "i", "createOptions": {
            "HostConfig": { "PortBindings": { key: [{ "HostPort": host, "HostIp": key }] } },
            "ExposedPorts": { key: {}, host: {} },
        } } },
        "b": {
            "env": { "A_HOST": { "value": host }, "URL": { "value": format!("http://a:{key}/{host}") } },
            "settings": { "image": "i", "createOptions": { "Cmd": [host, format!("a:{key}")] } },
        },
    } } } } });
    let manifest = Manifest::read(&Source::new("fuzz", deployment.to_string())).expect("the deployment around is sound");
    let mut settings = Settings::default();
    settings.site.external_ips = Some(0);
    let report = check(&Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH), &settings);
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
});
