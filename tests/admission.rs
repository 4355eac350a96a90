//! What Kubernetes refuses is what `check` finds: over deployments that are made up, one refusal is one finding, at its bytes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod deployments;

use std::collections::BTreeMap;

use deployments::{Generated, WELL, classes, deployments};
use edgeshift::evidence::Snapshot;
use edgeshift::finding::Severity;
use edgeshift::kube_model::objects;
use edgeshift::manifest::Manifest;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;

/// The rules that say what Kubernetes refuses: the general one, and those with words of their own.
const RULES: [&str; 18] = [
    "compute-fpga-resource",
    "compute-gpu-request",
    "lifecycle-strategy",
    "naming-leading-digit",
    "naming-not-a-label",
    "naming-reserved",
    "network-duplicate-port",
    "network-mixed-protocols",
    "network-port-syntax",
    "options-env-colon",
    "options-env-name",
    "options-refused",
    "proxy-upstream-spelling",
    "resources-quantity",
    "storage-bind-target",
    "storage-duplicate-target",
    "storage-reserved-volume",
    "storage-volume-collision",
];

/// What `check` does not see: the size of claims is a setting of the agent's.
const UNSEEN: &str = "claim of nothing";

/// Rules and paths of what `check` finds of refusals.
fn found(generated: &Generated, manifest: &Manifest) -> Vec<(&'static str, String)> {
    let snapshot = Snapshot::of_manifest(manifest.clone(), "2026-01-01T00:00:00Z".parse().unwrap());
    let settings = Settings { agent: generated.agent, ..Settings::default() };
    let report = check(&snapshot, &settings);
    let blocks = report
        .findings()
        .filter(|(evaluation, finding)| finding.severity == Severity::Block && RULES.contains(&evaluation.rule));
    blocks
        .map(|(evaluation, finding)| (evaluation.rule, manifest.document().path(finding.at.unwrap()).to_string()))
        .collect()
}

#[test]
fn what_kubernetes_refuses_is_one_finding_at_its_place() {
    let mut refused_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for generated in deployments(0, 480) {
        let manifest = Manifest::read(&Source::new("generated", generated.text.as_str())).unwrap();
        let made = objects::translate(&manifest, &generated.settings("iotedge"));
        assert!(made.faults.is_empty(), "{}: {:?}", generated.class, made.faults);
        let refused = objects::refused(&made.created().unwrap());
        let found = found(&generated, &manifest);
        if !refused.is_empty() {
            *refused_of.entry(generated.class).or_default() += 1;
        }
        let expected = !refused.is_empty() && generated.class != UNSEEN;
        let at_its_place = found.iter().all(|(_, path)| {
            let module = generated.class == "name of a secret" || path.contains(&generated.module);
            module && path.contains(generated.place)
        });
        if found.len() != usize::from(expected) || !at_its_place {
            let refused: Vec<String> = refused.iter().map(|(kind, _, one)| format!("{kind} {}", one.place)).collect();
            wrong.push(format!("{}: {found:?}\n    {refused:?}", generated.class));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(refused_of.get(WELL), None);
    for class in classes() {
        let count = refused_of.get(class).copied().unwrap_or(0);
        assert!(count >= 5, "{class} is refused {count} times");
    }
}

#[test]
fn the_same_seed_makes_the_same_deployments() {
    let texts = |seed| deployments(seed, 5).map(|generated| generated.text).collect::<Vec<_>>();
    assert_eq!(texts(7), texts(7));
    assert_ne!(texts(7), texts(8));
}
