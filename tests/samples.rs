//! The samples of the migration guide give the findings that its text promises, and the two that are no JSON as printed
//! say what is missing where.

#![expect(clippy::disallowed_methods, reason = "tests read their own fixtures")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

use edgeshift::evidence::Snapshot;
use edgeshift::finding::{Safety, Severity};
use edgeshift::manifest::{Manifest, ManifestError};
use edgeshift::report::Report;
use edgeshift::settings::Settings;
use edgeshift::text::{Source, SyntaxError, apply};
use edgeshift::verbs::check::check;

fn source(name: &str) -> Source {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/samples").join(name);
    Source::new(name, fs::read_to_string(path).unwrap())
}

fn judge(source: &Source) -> Report {
    let snapshot = Snapshot::of_manifest(Manifest::read(source).unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
    check(&snapshot, &Settings::default())
}

/// Rule, severity and the bytes of each finding.
fn findings(name: &str) -> Vec<(&'static str, Severity, String)> {
    let source = source(name);
    let manifest = Manifest::read(&source).unwrap();
    let document = manifest.document();
    let report = judge(&source);
    let finding = |(evaluation, finding): (&edgeshift::report::Evaluation, &edgeshift::finding::Finding)| {
        let bytes = document.ranges(finding.at.unwrap()).into_iter().map(|range| &source.text()[range]).collect();
        (evaluation.rule, finding.severity, bytes)
    };
    report.findings().map(finding).collect()
}

fn syntax_error(name: &str) -> (String, SyntaxError) {
    match Manifest::read(&source(name)) {
        Err(ManifestError::Syntax { document, error }) => (document.position(error.at[0].start).to_string(), *error),
        other => panic!("{name} should not be JSON: {other:?}"),
    }
}

#[test]
fn sample_1_binds_cannot_be_had() {
    let source = "<Host storage path for Edge local share>".to_owned();
    assert_eq!(findings("1-fpga-storage.json"), [("storage-host-bind", Severity::Warn, source)]);
}

#[test]
fn samples_2_and_3_are_the_way_to_mount_host_paths_and_shares() {
    assert_eq!(findings("2-host-path.json"), []);
    assert_eq!(findings("3-share.json"), []);
}

#[test]
fn sample_4_is_the_same_on_both_platforms() {
    let ports = "\"PortBindings\"".to_owned();
    assert_eq!(findings("4-port.json"), [("lifecycle-recreate", Severity::Info, ports)]);
}

#[test]
fn sample_5_asks_for_an_fpga_and_its_wire_server() {
    let found = findings("5-fpga-compute.json");
    let worth_a_change: Vec<_> = found.into_iter().filter(|(_, severity, _)| *severity != Severity::Info).collect();
    let expected = [
        ("compute-fpga-resource", Severity::Block, "\"microsoft.com/fpga_catapult\"".to_owned()),
        ("compute-wireserver", Severity::Warn, "WIRESERVER_ADDRESS".to_owned()),
    ];
    assert_eq!(worth_a_change.len(), expected.len(), "{worth_a_change:?}");
    for (found, expected) in worth_a_change.iter().zip(&expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1));
        assert!(found.2.starts_with(&expected.2), "{found:?}");
    }
}

#[test]
fn sample_5_becomes_sample_6_once_its_fixes_are_taken() {
    let mut text = source("5-fpga-compute.json").text().to_owned();
    for _ in 0..10 {
        let source = Source::new("5", text.as_str());
        let report = judge(&source);
        let fix = report.findings().filter_map(|(_, finding)| finding.fix.as_ref());
        let Some(fix) = fix.into_iter().find(|fix| fix.safety != Safety::None && !fix.edits.is_empty()) else { break };
        text = apply(&source, &fix.edits).unwrap();
    }
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["k8s-experimental"]["resources"]["limits"], serde_json::json!({ "nvidia.com/gpu": 2 }));
    // What the guide asks for elsewhere: a module that holds a GPU is replaced, not rolled over.
    assert_eq!(json["k8s-experimental"]["strategy"]["type"], "Recreate");
    assert_eq!(json.get("Env"), None);
    assert_eq!(json["HostConfig"]["Privileged"], true);
}

#[test]
fn sample_6_misses_a_brace() {
    let (place, error) = syntax_error("6-gpu-compute.json");
    assert_eq!(error.message, "one `}` missing, object opened at 1:1");
    assert_eq!(place, "1:1");
}

#[test]
fn sample_7_is_a_fragment_and_misses_a_brace() {
    let (place, error) = syntax_error("7-memory-and-cpu.json");
    assert_eq!(
        error.message,
        "this is a fragment, wrap it in `{ }`; one `}` missing, object opened at 1:21 after `\"k8s-experimental\":`"
    );
    assert_eq!(place, "1:1");
}

#[test]
fn sample_7_made_whole_repeats_its_request() {
    let text = format!("{{ {} }} }}", source("7-memory-and-cpu.json").text());
    let report = judge(&Source::new("7", text));
    let rules: Vec<&str> = report.findings().map(|(evaluation, _)| evaluation.rule).collect();
    // Equal to the limit, so the request is allowed; what is left is the update.
    assert_eq!(rules, ["lifecycle-recreate"]);
}

#[test]
fn sample_8_is_the_strategy_that_the_guide_asks_for() {
    assert_eq!(findings("8-strategy.json"), []);
}
