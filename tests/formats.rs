//! Every format says what the report says, in the form that its readers accept, and nothing that is secret.

#![expect(clippy::disallowed_methods, reason = "tests read their own fixtures")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use edgeshift::evidence::{ModuleState, Observed, RuntimeStatus, Snapshot};
use edgeshift::finding::{Finding, Severity};
use edgeshift::manifest::Manifest;
use edgeshift::output::{CheckResult, Judged, JudgedSettings, Reason, Rejected};
use edgeshift::output::{github, json, junit, markdown, sarif, text};
use edgeshift::report::{Outcome, Report, Status};
use edgeshift::rules;
use edgeshift::settings::Settings;
use edgeshift::text::{Source, apply};
use edgeshift::verbs::check;
use jsonschema::Validator;
use quick_junit::TestCaseStatus;
use serde_json::{Value, json as value};
use serde_sarif::sarif::Sarif;

const NOW: &str = "2026-01-01T00:00:00Z";

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn schema(name: &str) -> Validator {
    let text = fs::read_to_string(repository(name)).unwrap();
    // The official schema of SARIF has a pattern that is no regular expression; later editions drop the bracket.
    let text = text.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}?$");
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn assert_valid(schema: &Validator, report: &Value, of: &str) {
    let errors: Vec<String> =
        schema.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{of}: {}", errors.join("\n"));
}

/// Every manifest that some rule finds fault with, and the settings that it is judged by.
fn fixtures() -> Vec<(String, String, Settings)> {
    let mut found = Vec::new();
    for folder in fs::read_dir(repository("fixtures/rules")).unwrap().map(|entry| entry.unwrap().path()) {
        let settings = fs::read_to_string(folder.join("settings.json"))
            .map(|text| Settings::from_json(serde_json::from_str(&text).unwrap()).unwrap())
            .unwrap_or_default();
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let is_manifest = Manifest::read(&Source::new(name.as_str(), text.as_str())).is_ok();
            if name.starts_with("fails-") && path.extension().is_some_and(|end| end == "json") && is_manifest {
                let folder = folder.file_name().unwrap().to_string_lossy().into_owned();
                found.push((format!("{folder}/{name}"), text, settings.clone()));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() > 100, "only {} fixtures", found.len());
    found
}

fn judged(name: &str, text: &str, settings: &Settings) -> Judged {
    let manifest = Manifest::read(&Source::new(name, text)).unwrap();
    of_snapshot(name, Snapshot::of_manifest(manifest, NOW.parse().unwrap()), settings)
}

fn of_snapshot(name: &str, snapshot: Snapshot, settings: &Settings) -> Judged {
    let report = check::check(&snapshot, settings);
    let status = report.status(Severity::Silent);
    Judged { name: name.to_owned(), snapshot, report, status }
}

fn result(judged: Vec<Judged>) -> CheckResult {
    CheckResult { judged, ..CheckResult::default() }
}

/// A result with something of every kind: findings with and without a place, suppressed ones, what was not evaluated,
/// a rule that broke, files that could not be read, and settings at fault.
fn everything() -> CheckResult {
    let settings = Settings::from_json(value!({ "suppress": [
        { "rule": "storage-share-bind", "module": "taken", "reason": "known & accepted | <later>", "until": "2027-01-31" },
        { "rule": "hub-ports", "reason": "left over" },
    ]}))
    .unwrap();
    let mut bad = judged("a b/ä.json", DEPLOYMENT, &settings);
    bad.report.evaluations.iter_mut().find(|e| e.rule == "options-user").unwrap().outcome =
        Outcome::Broken("index out of bounds".into());
    let states = Observed::Known([("m".to_owned(), starting())].into_iter().collect());
    let device = Snapshot { modules: states, ..Snapshot::empty(NOW.parse().unwrap()) };
    let judged = vec![bad, of_snapshot("device", device, &settings)];
    let report = {
        let reports: Vec<&Report> = judged.iter().map(|judged| &judged.report).collect();
        check::check_settings(&settings, &reports, NOW.parse().unwrap())
    };
    let settings = JudgedSettings { name: ".edgeshift.toml".to_owned(), report, status: Status::Pass };
    let syntax = Manifest::read(&Source::new("cut.json", "{\n  \"a\": {")).unwrap_err();
    let unreadable = Reason::Unreadable("cannot open gone.json: no such file".to_owned());
    let rejected = vec![
        Rejected { name: "cut.json".to_owned(), reason: Reason::Manifest(syntax) },
        Rejected { name: "gone.json".to_owned(), reason: unreadable },
    ];
    CheckResult { judged, rejected, settings: Some(settings) }
}

const DEPLOYMENT: &str = r#"{ "modulesContent": { "$edgeAgent": { "properties.desired": {
  "runtime": { "settings": { "registryCredentials": { "r": {
    "address": "r.io", "username": "hidden-user", "password": "hidden-password" } } } },
  "modules": {
    "m": {
      "env": { "API_TOKEN": { "value": "hidden-token" }, "Storage:Key": { "value": "hidden-value" },
               "https_proxy": { "value": "http://me:hidden-proxy@proxy:3128" } },
      "settings": { "image": "r.io/m:1", "createOptions": { "HostConfig": { "Binds": [
        "/home/hcsshares/in:/in", "/home/hcsshares/in:/in2" ] }, "Env": ["Sql:Db=AccountKey=hidden-key"] } } },
    "taken": { "settings": { "image": "r.io/m:1", "createOptions":
      "{\"HostConfig\":{\"Binds\":[\"/home/hcsshares/out:/out\"]}}" } },
    "broken": { "settings": { "image": "r.io/m:1", "createOptions": "{\"HostConfig\":" } }
  } } } } }"#;

fn starting() -> ModuleState {
    ModuleState {
        status: RuntimeStatus::Backoff,
        description: "Module in Back-off reason: ContainerCreating".to_owned(),
        exit_code: 0,
        since: "2025-12-31T23:00:00Z".parse().unwrap(),
    }
}

fn in_every_format(result: &CheckResult) -> [(&'static str, String); 6] {
    let rejected: String = result.rejected.iter().map(|rejected| text::rejected(rejected, PLAIN)).collect();
    [
        ("text", text::check(result, PLAIN) + &rejected),
        ("json", json::check(result)),
        ("sarif", sarif::check(result)),
        ("junit", junit::check(result)),
        ("github", github::check(result)),
        ("markdown", markdown::check(result)),
    ]
}

const PLAIN: text::Style = text::Style { colour: false, width: 120 };

fn log(result: &CheckResult) -> Value {
    serde_json::from_str(&sarif::check(result)).unwrap()
}

#[test]
fn sarif_is_valid_by_the_official_schema() {
    let schema = schema("fixtures/sarif-schema-2.1.0.json");
    let clean = judged("clean.json", r#"{ "HostConfig": { "Privileged": true } }"#, &Settings::default());
    for (name, result) in
        [("nothing", CheckResult::default()), ("clean", result(vec![clean])), ("everything", everything())]
    {
        let log = log(&result);
        assert_valid(&schema, &log, name);
        serde_json::from_value::<Sarif>(log).unwrap();
    }
    let all = fixtures().into_iter().map(|(name, text, settings)| judged(&name, &text, &settings));
    assert_valid(&schema, &log(&result(all.collect())), "fixtures");
    for (path, wrong) in [("/runs/0/tool/driver/name", Value::Null), ("/runs/0/artifacts/0/location/uri", "a b".into())]
    {
        let mut log = log(&everything());
        *log.pointer_mut(path).unwrap() = wrong;
        assert!(!schema.is_valid(&log), "the schema lets {path} be anything");
    }
}

#[test]
fn sarif_has_a_result_for_every_finding_and_tells_the_rest() {
    let result = everything();
    let log = log(&result);
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let findings: usize = result.reports().map(|report| report.findings().count()).sum();
    let suppressed: Vec<&Value> =
        results.iter().filter(|result| !result["suppressions"].as_array().unwrap().is_empty()).collect();
    assert_eq!(results.len(), findings + suppressed.len());
    assert_eq!(suppressed.len(), 1);
    assert_eq!(suppressed[0]["ruleId"], "storage-share-bind");
    assert_eq!(suppressed[0]["suppressions"][0]["kind"], "external");
    assert_eq!(suppressed[0]["suppressions"][0]["justification"], "known & accepted | <later>");
    let of = |rule: &str| results.iter().find(|result| result["ruleId"] == rule).unwrap();
    let place = |result: &Value| result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone();
    assert_eq!(place(of("storage-share-bind")), "a%20b/%C3%A4.json");
    assert_eq!(place(of("settings-suppression")), ".edgeshift.toml");
    // Observed, not written: there is a module and no file.
    assert_eq!(place(of("status-starting")), Value::Null);
    assert_eq!(of("status-starting")["locations"][0]["logicalLocations"][0]["name"], "m");
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let notifications = invocation["toolExecutionNotifications"].as_array().unwrap();
    let count = |kind: &str| notifications.iter().filter(|said| said["descriptor"]["id"] == kind).count();
    assert_eq!((count("rejected-file"), count("broken-rule")), (2, 1));
    assert!(count("not-evaluated") > 3);
    let cut = &notifications[0]["locations"][0]["physicalLocation"];
    assert_eq!((&cut["artifactLocation"]["uri"], &cut["region"]["startLine"]), (&value!("cut.json"), &value!(1)));
}

#[test]
fn a_place_in_pieces_is_several_regions() {
    let text = fs::read_to_string(repository("fixtures/rules/storage-share-bind/fails-pieces.json")).unwrap();
    let log = log(&result(vec![judged("p.json", &text, &Settings::default())]));
    let results = log["runs"][0]["results"].as_array().unwrap();
    let found = results.iter().find(|result| result["ruleId"] == "storage-share-bind").unwrap();
    let bytes = |location: &Value| {
        let region = &location["physicalLocation"]["region"];
        let number = |key: &str| usize::try_from(region[key].as_u64().unwrap()).unwrap();
        text[number("byteOffset")..number("byteOffset") + number("byteLength")].to_owned()
    };
    let others: Vec<String> = found["relatedLocations"].as_array().unwrap().iter().map(bytes).collect();
    assert_eq!(bytes(&found["locations"][0]) + &others.concat(), "/home/hcsshares/frames");
    assert_eq!(found.get("fixes"), None, "createOptions in a string are not edited in place");
}

#[test]
fn fixes_are_the_bytes_that_apply_changes() {
    let fixtures = fixtures();
    let judged: Vec<Judged> = fixtures.iter().map(|(name, text, settings)| judged(name, text, settings)).collect();
    let mut expected = BTreeSet::new();
    for (judged, (name, text, _)) in judged.iter().zip(&fixtures) {
        for (evaluation, finding) in judged.report.findings() {
            let Some(fix) = finding.fix.as_ref().filter(|fix| !fix.edits.is_empty()) else { continue };
            if let Ok(fixed) = apply(&Source::new(name.as_str(), text.as_str()), &fix.edits) {
                expected.insert((name.clone(), evaluation.rule.to_owned(), finding.message.clone(), fixed));
            }
        }
    }
    let log = log(&result(judged));
    let (mut found, mut several) = (BTreeSet::new(), 0);
    for result in log["runs"][0]["results"].as_array().unwrap() {
        let Some(change) = result["fixes"].get(0).map(|fix| &fix["artifactChanges"][0]) else { continue };
        let uri = &change["artifactLocation"]["uri"];
        let (name, text, _) = fixtures.iter().find(|(name, _, _)| uri == name).unwrap();
        let replacements = change["replacements"].as_array().unwrap();
        several += usize::from(replacements.len() > 1);
        let mut fixed = text.clone();
        for replacement in replacements.iter().rev() {
            let region = &replacement["deletedRegion"];
            let number = |key: &str| usize::try_from(region[key].as_u64().unwrap()).unwrap();
            let (start, end) = (number("byteOffset"), number("byteOffset") + number("byteLength"));
            assert_eq!(offset(text, number("startLine"), number("startColumn")), start, "{name}");
            assert_eq!(offset(text, number("endLine"), number("endColumn")), end, "{name}");
            fixed.replace_range(start..end, replacement["insertedContent"]["text"].as_str().unwrap_or_default());
        }
        let message = result["message"]["text"].as_str().unwrap().split(".\n\n").next().unwrap();
        found.insert((name.clone(), result["ruleId"].as_str().unwrap().to_owned(), message.to_owned(), fixed));
    }
    assert_eq!(found, expected);
    let with = found.len();
    assert!(with > 50 && several > 5, "{with} fixes, {several} of several parts");
}

/// The byte at a line and column, both from 1, columns in characters.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    start + text[start..].chars().take(column - 1).map(char::len_utf8).sum::<usize>()
}

#[test]
fn fingerprints_survive_moved_lines() {
    let prints = |text: &str| -> BTreeSet<String> {
        let log = log(&result(vec![judged("d.json", text, &Settings::default())]));
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|result| result["partialFingerprints"]["edgeshift/v1"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = prints(DEPLOYMENT);
    assert_eq!(before, prints(&format!("// a comment\n\n{}", DEPLOYMENT.replace('\n', "\n\n    "))));
    assert_ne!(before, prints(&DEPLOYMENT.replace("\"m\"", "\"n\"")));
    assert!(before.len() > 5);
}

#[test]
fn junit_has_a_case_for_everything_that_was_looked_at() {
    let result = everything();
    let xml = quick_junit::Report::deserialize_from_str(&junit::check(&result)).unwrap();
    let names: Vec<&str> = xml.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, ["a b/ä.json", "device", ".edgeshift.toml", "cut.json", "gone.json"]);
    let ledger = result.judged[0].report.ledger();
    let suite = &xml.test_suites[0];
    assert_eq!(suite.tests, ledger.passed + ledger.failed + ledger.not_evaluated + ledger.suppressed + ledger.broken);
    assert_eq!(suite.skipped, ledger.not_evaluated + ledger.suppressed);
    let is_failure = |outcome: &Outcome| match outcome {
        Outcome::Fail(findings) => findings.iter().any(|finding| finding.severity != Severity::Info),
        _ => false,
    };
    let failures = result.judged[0].report.evaluations.iter().filter(|line| is_failure(&line.outcome)).count();
    assert_eq!((suite.failures, suite.errors), (failures, 1));
    let skipped = suite.test_cases.iter().find_map(|case| match &case.status {
        TestCaseStatus::Skipped { message, .. } if case.name.as_str() == "storage-share-bind: module taken" => {
            message.clone()
        }
        _ => None,
    });
    assert_eq!(skipped.unwrap().as_str(), "suppressed until 2027-01-31: known & accepted | <later>");
    assert_eq!((xml.test_suites[3].errors, xml.test_suites[4].errors), (1, 1));
}

#[test]
fn github_has_a_command_for_each_finding() {
    let result = everything();
    let text = github::check(&result);
    let count = |name: &str| text.lines().filter(|line| line.starts_with(&format!("::{name} "))).count();
    let of = |wanted: &[Severity]| {
        let findings = result.reports().flat_map(Report::findings);
        findings.filter(|(_, finding)| wanted.contains(&finding.severity)).count()
    };
    // Two files could not be read, and one rule broke.
    assert_eq!(count("error"), of(&[Severity::Block, Severity::Silent]) + 3, "{text}");
    let required = text.lines().filter(|line| line.contains("title=not evaluated::")).count();
    assert_eq!(count("warning"), of(&[Severity::Warn]) + required);
    assert_eq!(count("notice"), of(&[Severity::Info]));
    assert!(required > 0);
    assert!(text.contains("::error file=a b/ä.json,line=9,endLine=9,col=10,endColumn=28,title=storage-share-bind (silent)::module `m`: share `in`"), "{text}");
    assert!(text.contains("::error file=cut.json,line=1,col=1,title=could not be read::"), "{text}");
}

#[test]
fn markdown_keeps_its_tables_whatever_is_in_them() {
    let text = DEPLOYMENT.replace("\"m\"", r#""a|b`c<img>""#);
    let report = markdown::check(&result(vec![judged("x|y.json", &text, &Settings::default())]));
    let rows: Vec<&str> = report.lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 5, "{report}");
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
        assert!(!row.contains('<'), "{row}");
    }
    let report = markdown::check(&everything());
    assert!(report.contains("[storage-share-bind](docs/rules/storage-share-bind.md) in module `taken`"), "{report}");
    assert!(report.contains("known &amp; accepted \\| &lt;later&gt; (until 2027-01-31)"), "{report}");
    assert!(report.contains("- `cut.json`, line 1: "), "{report}");
}

#[test]
fn json_is_valid_by_the_schema_that_is_checked_in() {
    let schema = schema("schema/check-1.json");
    let valid = |result: &CheckResult, name: &str| {
        assert_valid(&schema, &serde_json::from_str(&json::check(result)).unwrap(), name);
    };
    valid(&CheckResult::default(), "nothing");
    valid(&everything(), "everything");
    for (name, text, settings) in fixtures() {
        valid(&result(vec![judged(&name, &text, &settings)]), &name);
    }
    assert!(!schema.is_valid(&value!({ "schema": "edgeshift.check/2" })));
}

#[test]
fn the_codes_of_a_finding_are_those_that_it_is_about() {
    let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {
        "web": {"settings": {"image": "w:1", "createOptions": {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}}},
        "gpu": {"settings": {"image": "g:1", "createOptions": {
            "k8s-experimental": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}}}}}}}}"#;
    let result = result(vec![judged("t.json", text, &Settings::default())]);
    let report: Value = serde_json::from_str(&json::check(&result)).unwrap();
    let found = report["files"][0]["findings"].as_array().unwrap();
    let codes = |module: &str| {
        found.iter().find(|f| f["rule"] == "lifecycle-recreate" && f["module"] == module).unwrap()["codes"].clone()
    };
    assert_eq!(codes("web"), serde_json::json!(["STR-001"]));
    assert_eq!(codes("gpu"), serde_json::json!(["STR-001", "GPU-005"]));
}

#[test]
fn settings_are_valid_by_the_schema_that_is_checked_in() {
    let schema = schema("schema/settings.json");
    assert_valid(&schema, &value!({}), "nothing");
    assert_valid(&schema, &serde_json::to_value(Settings::default()).unwrap(), "defaults");
    for folder in fs::read_dir(repository("fixtures/rules")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = fs::read_to_string(folder.join("settings.json")) else { continue };
        assert_valid(&schema, &serde_json::from_str(&text).unwrap(), &folder.display().to_string());
    }
    for wrong in [
        value!({ "targets": "ase-k8s" }),
        value!({ "intervals": { "collect": 0 } }),
        value!({ "suppress": [{ "rule": "hub-ports" }] }),
        value!({ "site": { "gpus": -1 } }),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
        assert!(Settings::from_json(wrong).is_err());
    }
}

#[test]
fn every_format_names_every_file_that_could_not_be_read() {
    for (format, report) in in_every_format(&everything()) {
        for part in ["cut.json", "gone.json", "cannot open gone.json"] {
            assert!(report.contains(part), "`{part}` is missing in {format}:\n{report}");
        }
    }
}

#[test]
fn no_format_shows_a_secret() {
    let result = everything();
    let findings: Vec<&Finding> = result.reports().flat_map(Report::findings).map(|(_, finding)| finding).collect();
    assert!(findings.iter().any(|finding| finding.message.contains("Storage:Key")), "nothing points at a secret");
    for (format, report) in in_every_format(&result) {
        assert!(!report.contains("hidden-"), "{format}:\n{report}");
    }
}

#[test]
fn what_is_masked_in_a_fixture_is_in_no_format() {
    let (mut hidden, mut open, mut judged_all) = (BTreeSet::new(), String::new(), Vec::new());
    for (name, text, settings) in fixtures() {
        let judged = judged(&name, &text, &settings);
        let findings = judged.report.findings().map(|(_, finding)| finding);
        let spans = findings.flat_map(|f| f.at.into_iter().chain(f.related.iter().map(|related| related.at)));
        let masked = judged.manifest().unwrap().masked(&spans.collect::<Vec<_>>()).text().to_owned();
        hidden.extend(stretches(&text, &masked));
        open.push_str(&masked);
        judged_all.push(judged);
    }
    // What a page of a rule says, or some file in the open, is no secret.
    open.extend(rules::ALL.iter().map(|rule| rule.page));
    hidden.retain(|part| !open.contains(part));
    assert!(hidden.len() > 30, "{hidden:?}");
    for (format, report) in in_every_format(&result(judged_all)) {
        for part in &hidden {
            assert!(!report.contains(part), "{format} shows `{part}`");
        }
    }
}

/// The stretches of `text` that `masked` hides, long enough to be told from other text.
fn stretches(text: &str, masked: &str) -> Vec<String> {
    let hidden: Vec<u8> = text.bytes().zip(masked.bytes()).map(|(a, b)| if a == b { 0 } else { a }).collect();
    let parts = hidden.split(|byte| *byte == 0).filter(|part| part.len() > 5);
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}
