#![no_main]
//! Any quantity: refused, or read the same again; and judged wherever a module can write one.

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::Manifest;
use edgeshift::report::Outcome;
use edgeshift::settings::{Quantity, Settings};
use edgeshift::text::Source;
use edgeshift::verbs::check::check;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    if let Ok(quantity) = text.parse::<Quantity>() {
        assert_eq!(quantity.to_string().parse::<Quantity>().expect("it was one").thousandths(), quantity.thousandths());
    }
    let options = json!({
        "HostConfig": { "Memory": text, "NanoCpus": text, "ShmSize": text },
        "k8s-experimental": { "resources": {
            "limits": { "memory": text, "cpu": text, "nvidia.com/gpu": text },
            "requests": { "memory": "64Mi", "cpu": text, "nvidia.com/gpu": 1 },
        } },
    });
    let manifest = Manifest::read(&Source::new("fuzz", options.to_string())).expect("createOptions");
    let mut settings = Settings::default();
    settings.site.worker_memory = "8Gi".parse().ok();
    settings.site.gpus = Some(1);
    let report = check(&Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH), &settings);
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
});
