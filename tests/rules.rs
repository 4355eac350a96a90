//! Every rule is what it says: its page's examples, its fixtures, its fixes.
//!
//! `fixtures/rules/<id>/` holds `fails-*.json` and `passes-*.json`, at least one of each, and for rules that wait for
//! facts about the site a `settings.json`. Fixtures whose name ends in `-vm` are judged for the VM, in
//! `-beta14` for that agent. A fixture is a manifest or, for rules about running modules, an object with
//! `states`, `engine`, `process`, `network` or `agent` (as in a snapshot), and if need be `clients`, `twins`, `manifest` and
//! `taken_at`; or `gpus` and `gpu_driver`, with
//! `engine`, `grants`, `process` and `manifest` where it is about who has them.

#![expect(clippy::disallowed_methods, reason = "tests read their own fixtures")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use edgeshift::engine::{self, Check, Rule};
use edgeshift::evidence::{ModuleState, Observed, RuntimeStatus, Snapshot};
use edgeshift::finding::{Finding, Safety};
use edgeshift::manifest::Manifest;
use edgeshift::output::{CheckResult, Judged, text};
use edgeshift::report::{Outcome, Report};
use edgeshift::rules;
use edgeshift::settings::Settings;
use edgeshift::target::{Agent, Platform, Target};
use edgeshift::text::{Source, apply};

fn folder(rule: &Rule) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rules").join(rule.id)
}

/// The settings for the text `name` of a rule.
fn settings(rule: &Rule, name: &str) -> Settings {
    let mut settings = fs::read_to_string(folder(rule).join("settings.json"))
        .map(|text| Settings::from_json(serde_json::from_str(&text).unwrap()).unwrap())
        .unwrap_or_default();
    if name.ends_with("-vm.json") {
        settings.target = Target { platform: Platform::AseVm, software: None };
    }
    if name.ends_with("-beta14.json") {
        settings.agent = Agent::beta(14);
    }
    settings
}

/// Fixtures of one kind, sorted by name.
fn fixtures(rule: &Rule, kind: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(folder(rule))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.starts_with(kind) && Path::new(name).extension().is_some_and(|end| end == "json"))
        .map(|(name, path)| (name, fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

fn snapshot(name: &str, text: &str) -> Snapshot {
    let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let taken_at = json.as_ref().and_then(|json| json["taken_at"].as_str()).unwrap_or("2026-01-01T00:00:00Z");
    let taken_at = taken_at.parse().unwrap();
    if let Some(json) = json.as_ref().filter(|json| json.get("gpus").or(json.get("gpu_driver")).is_some()) {
        let mut snapshot = Snapshot::empty(taken_at);
        let of = |key: &str| json.get(key).cloned();
        snapshot.see_gpus(
            of("gpu_driver").map(|driver| serde_json::from_value(driver).unwrap()).unwrap_or_default(),
            of("gpus").map(|gpus| serde_json::from_value(gpus).unwrap()).unwrap_or_default(),
        );
        if let Some(engine) = of("engine") {
            snapshot.engine = Observed::Known(serde_json::from_value(engine).unwrap());
        }
        if let Some(grants) = of("grants") {
            snapshot.grants = Observed::Known(serde_json::from_value(grants).unwrap());
        }
        if let Some(process) = of("process") {
            snapshot.process = Observed::Known(serde_json::from_value(process).unwrap());
        }
        if let Some(manifest) = of("manifest") {
            let source = Source::new(name, format!("{manifest:#}"));
            snapshot.manifest = Observed::Known(Manifest::read(&source).unwrap());
        }
        return snapshot;
    }
    let running = ["states", "engine", "process", "network", "agent"];
    match json.as_ref().filter(|json| running.iter().any(|key| json.get(key).is_some())) {
        Some(json) => {
            let mut snapshot = Snapshot::empty(taken_at);
            if let Some(states) = json["states"].as_object() {
                snapshot.modules = Observed::Known(states.iter().map(|(id, s)| (id.clone(), state(s))).collect());
            }
            if let Some(engine) = json.get("engine") {
                snapshot.engine = Observed::Known(serde_json::from_value(engine.clone()).unwrap());
            }
            if let Some(grants) = json.get("grants") {
                snapshot.grants = Observed::Known(serde_json::from_value(grants.clone()).unwrap());
            }
            if let Some(process) = json.get("process") {
                snapshot.process = Observed::Known(serde_json::from_value(process.clone()).unwrap());
            }
            if let Some(network) = json.get("network") {
                snapshot.network = Observed::Known(serde_json::from_value(network.clone()).unwrap());
            }
            if let Some(agent) = json.get("agent") {
                snapshot.agent = Observed::Known(serde_json::from_value(agent.clone()).unwrap());
            }
            if let Some(clients) = json.get("clients") {
                snapshot.clients = Observed::Known(serde_json::from_value(clients.clone()).unwrap());
            }
            if let Some(twins) = json.get("twins") {
                snapshot.twins = Observed::Known(serde_json::from_value(twins.clone()).unwrap());
            }
            if let Some(manifest) = json.get("manifest") {
                let source = Source::new(name, format!("{manifest:#}"));
                snapshot.manifest = Observed::Known(Manifest::read(&source).unwrap());
            }
            snapshot
        }
        None => Snapshot::of_manifest(
            Manifest::read(&Source::new(name, text)).unwrap_or_else(|error| panic!("{name}: {error}")),
            taken_at,
        ),
    }
}

fn state(json: &serde_json::Value) -> ModuleState {
    let status = match json["status"].as_str().unwrap() {
        "running" => RuntimeStatus::Running,
        "backoff" => RuntimeStatus::Backoff,
        "failed" => RuntimeStatus::Failed,
        "stopped" => RuntimeStatus::Stopped,
        "unknown" => RuntimeStatus::Unknown,
        other => panic!("no such status: {other}"),
    };
    ModuleState {
        status,
        description: json["description"].as_str().unwrap_or_default().to_owned(),
        exit_code: json["exit_code"].as_i64().unwrap_or_default(),
        since: json["since"].as_str().unwrap().parse().unwrap(),
    }
}

fn evaluate(rule: &'static Rule, name: &str, snapshot: &Snapshot) -> Report {
    let settings = settings(rule, name);
    if let Check::Suppressions(_) = rule.check {
        let report = engine::evaluate(snapshot, &settings, rules::ALL);
        return engine::evaluate_settings(&settings, &[&report], snapshot.taken_at, rules::ALL);
    }
    engine::evaluate(snapshot, &settings, &[rule])
}

fn findings(report: &Report) -> Vec<&Finding> {
    for evaluation in &report.evaluations {
        assert!(!matches!(evaluation.outcome, Outcome::Broken(_)), "{}: {:?}", evaluation.rule, evaluation.outcome);
    }
    report.findings().map(|(_, finding)| finding).collect()
}

/// The report of one rule as text.
fn shown(rule: &'static Rule, name: &str, snapshot: Snapshot) -> String {
    let report = evaluate(rule, name, &snapshot);
    let status = report.status(rule.severity);
    let judged = vec![Judged { name: name.to_owned(), snapshot, report, status }];
    text::check(&CheckResult { judged, ..CheckResult::default() }, text::Style { colour: false, width: 120 })
}

/// `rule` fails on `text`, and where a fix is safe and the document can be edited in place, the fix heals it.
fn assert_fails(rule: &'static Rule, name: &str, text: &str) {
    let snapshot = snapshot(name, text);
    let report = evaluate(rule, name, &snapshot);
    let found = findings(&report);
    assert!(!found.is_empty(), "{} finds nothing in {name}", rule.id);
    for finding in &found {
        assert!(!finding.message.is_empty() && !finding.reason.is_empty(), "{}: a finding without words", rule.id);
        if let Some(fix) = &finding.fix {
            let allowed = match rule.fix {
                Safety::Safe => true,
                Safety::Ask => fix.safety != Safety::Safe,
                Safety::None => fix.safety == Safety::None,
            };
            assert_eq!(
                fix.edits.is_empty(),
                fix.safety == Safety::None,
                "{} {name}: `{}` has edits, or it is advice",
                rule.id,
                fix.title
            );
            assert!(allowed, "{}: a fix is {:?}, the rule declares {:?}", rule.id, fix.safety, rule.fix);
        }
    }
    let Some(manifest) = snapshot.manifest.known() else { return };
    for finding in found {
        let Some(fix) = finding.fix.as_ref().filter(|fix| !fix.edits.is_empty()) else { continue };
        let source = manifest.document().source();
        // createOptions in a string are not edited in place.
        let in_string = fix.edits.iter().any(|edit| {
            let mut at = manifest.document().find(edit.path());
            let mut path = edit.path().clone();
            while at.is_none() {
                path = edgeshift::text::Path::new(path.steps()[..path.steps().len() - 1].to_vec());
                at = manifest.document().find(&path);
            }
            !std::ptr::eq(manifest.document().layer_text(at.unwrap().opened().span()), source.text())
        });
        if in_string {
            continue;
        }
        let healed = apply(source, &fix.edits).unwrap_or_else(|error| panic!("{} {name}: {error}", rule.id));
        let after = evaluate(rule, name, &self::snapshot(name, &healed));
        let before: Vec<&str> = findings(&report).iter().map(|finding| finding.message.as_str()).collect();
        let left: Vec<String> = findings(&after).iter().map(|finding| finding.message.clone()).collect();
        assert!(
            left.len() < before.len(),
            "{} {name}: `{}` heals nothing:\n{healed}\nleft {left:?}",
            rule.id,
            fix.title
        );
    }
}

/// `rule` judges `text` and finds nothing.
fn assert_passes(rule: &'static Rule, name: &str, text: &str) {
    let report = evaluate(rule, name, &snapshot(name, text));
    let found = findings(&report);
    assert!(
        found.is_empty(),
        "{} finds in {name}: {:?}",
        rule.id,
        found.iter().map(|f| &f.message).collect::<Vec<_>>()
    );
    let judged = report
        .evaluations
        .iter()
        .all(|evaluation| matches!(evaluation.outcome, Outcome::Pass | Outcome::NotApplicable));
    assert!(judged, "{} does not judge {name}: {:?}", rule.id, report.evaluations);
}

/// The fenced examples of a page that carry `tag`.
fn examples<'p>(page: &'p str, tag: &str) -> Vec<String> {
    let mut examples = Vec::new();
    let mut current: Option<Vec<&'p str>> = None;
    for line in page.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        match &mut current {
            Some(lines) if line.trim() == "```" => {
                examples.push(lines.join("\n"));
                current = None;
            }
            Some(lines) => lines.push(line),
            None if line.trim() == format!("```json,{tag}") => current = Some(Vec::new()),
            None => {}
        }
    }
    examples
}

#[test]
fn the_examples_of_every_page_do_what_they_say() {
    for rule in rules::ALL {
        let (fails, passes) = (examples(rule.page, "fails"), examples(rule.page, "passes"));
        assert!(!fails.is_empty() && !passes.is_empty(), "{}: the page needs an example of each kind", rule.id);
        for text in fails {
            assert_fails(rule, &format!("{} example", rule.id), &text);
        }
        for text in passes {
            assert_passes(rule, &format!("{} example", rule.id), &text);
        }
    }
}

#[test]
fn the_fixtures_of_every_rule_do_what_they_say() {
    for rule in rules::ALL {
        let (fails, passes) = (fixtures(rule, "fails-"), fixtures(rule, "passes-"));
        assert!(
            !fails.is_empty() && !passes.is_empty(),
            "{}: fixtures/rules/{} needs fails-*.json and passes-*.json",
            rule.id,
            rule.id
        );
        for (name, text) in &fails {
            assert_fails(rule, name, text);
            insta::with_settings!({
                snapshot_path => folder(rule),
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name.trim_end_matches(".json"), shown(rule, name, snapshot(name, text)));
            });
        }
        for (name, text) in &passes {
            assert_passes(rule, name, text);
            let judged = evaluate(rule, name, &snapshot(name, text))
                .evaluations
                .iter()
                .any(|e| matches!(e.outcome, Outcome::Pass));
            assert!(judged, "{}: {name} has nothing that the rule looks at, so passing proves nothing", rule.id);
        }
    }
}

#[test]
fn every_fixture_folder_belongs_to_a_rule() {
    let ids: BTreeSet<&str> = rules::ALL.iter().map(|rule| rule.id).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rules");
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(ids.contains(name.as_str()), "fixtures/rules/{name} belongs to no rule");
    }
}

#[test]
fn ids_codes_and_declarations_are_sound() {
    let mut names: BTreeMap<(String, &str), &str> = BTreeMap::new();
    for rule in rules::ALL {
        let kebab = rule.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(kebab && rule.id.contains('-'), "{} is not a kebab-case family-thing", rule.id);
        // A code may have a rule for each target, never two for one.
        for name in std::iter::once(&rule.id).chain(rule.codes) {
            for target in rule.targets {
                let taken = names.insert((name.to_ascii_lowercase(), target.word()), rule.id);
                assert!(taken.is_none(), "{name} belongs to {} and {}", taken.unwrap_or_default(), rule.id);
            }
        }
        // The runtime face of a rule about manifests has no row of its own in the catalogue, nor has what follows from the
        // models of the agent and of Kubernetes.
        let from_models = ["options-refused", "options-unreadable"].contains(&rule.id);
        let needs_codes = !matches!(rule.check, Check::Running(_) | Check::Device(_)) && !from_models;
        assert!(!needs_codes || !rule.codes.is_empty(), "{}", rule.id);
        assert!(!rule.targets.is_empty() && !rule.source.is_empty(), "{}", rule.id);
        assert!(rule.page.trim_start().starts_with("# "), "{}: the page starts with its title", rule.id);
        let file = rule.id.split_once('-').unwrap();
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/rules/{}/{}.rs", file.0, file.1.replace('-', "_")));
        assert!(path.exists(), "{} should live in {}", rule.id, path.display());
        if matches!(rule.check, Check::State(_) | Check::Running(_) | Check::Device(_)) {
            assert_eq!(rule.fix, Safety::None, "{}: a running module is not edited", rule.id);
        }
    }
}
