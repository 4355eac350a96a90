#![no_main]
//! Any createOptions, as a string and in pieces: every rule judges them without breaking, every place can be drawn.

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::Manifest;
use edgeshift::output::{CheckResult, Judged, json, text};
use edgeshift::report::{Outcome, Status};
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|input: (&str, u8)| {
    let (options, cut) = input;
    let size = usize::from(cut).max(1);
    let characters: Vec<char> = options.chars().collect();
    let mut settings = Map::new();
    settings.insert("image".to_owned(), "example.azurecr.io/a:1".into());
    for (i, piece) in characters.chunks(size).take(100).enumerate() {
        let key = if i == 0 { "createOptions".to_owned() } else { format!("createOptions{i:02}") };
        settings.insert(key, piece.iter().collect::<String>().into());
    }
    let deployment = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
        "one": { "settings": Value::Object(settings) },
        "two": { "settings": { "image": "i", "createOptions": options } },
    } } } } });
    let manifest = Manifest::read(&Source::new("fuzz", deployment.to_string())).expect("the deployment around is sound");
    let snapshot = Snapshot::of_manifest(manifest, jiff::Timestamp::UNIX_EPOCH);
    let report = check(&snapshot, &Settings::default());
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
    let judged = vec![Judged { name: "fuzz".to_owned(), snapshot, report, status: Status::Pass }];
    let result = CheckResult { judged, ..CheckResult::default() };
    text::check(&result, text::Style { colour: false, width: 100 });
    serde_json::from_str::<Value>(&json::check(&result)).expect("the report is JSON");
});
