//! The report as SARIF 2.1.0, for code scanning and editors. Its types are made from the official schema.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use serde_sarif::sarif::{
    Artifact, ArtifactChange, ArtifactContent, ArtifactLocation, Fix, Invocation, Location, LogicalLocation, Message,
    MultiformatMessageString, Notification, PhysicalLocation, PropertyBag, Region, Replacement, ReportingConfiguration,
    ReportingDescriptor, ReportingDescriptorReference, Result, ResultLevel, Run, Sarif, Suppression, Tool,
    ToolComponent,
};

use super::place::{self, Place};
use super::{CheckResult, Judged, Problem, Rejected, json, text, words};
use crate::engine::Rule;
use crate::finding::{self, Finding, Severity};
use crate::manifest::Manifest;
use crate::report::{Evaluation, Outcome, Suppressed};
use crate::rules;
use crate::text::{At, Document, Kind, replacements};

/// Where the schema of the format stands.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// How the fingerprint of a finding is made; another way needs another name.
const FINGERPRINT: &str = "edgeshift/v1";

/// What is percent-encoded in a path: all but slashes and what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What is said of a run that is no finding.
const NOT_EVALUATED: &str = "not-evaluated";
const BROKEN_RULE: &str = "broken-rule";
const REJECTED_FILE: &str = "rejected-file";

/// The report of a `check`.
pub fn check(result: &CheckResult) -> String {
    let of_files = result.judged.iter().flat_map(|judged| {
        let failed = judged.findings().into_iter().map(|(evaluation, finding)| (evaluation, finding, None));
        let accepted = accepted(judged);
        failed.chain(accepted).map(|(evaluation, finding, by)| of_file(judged, evaluation, finding, by))
    });
    let of_settings = result.settings.iter().flat_map(|settings| {
        let place = Location { physical_location: Some(file(&settings.name, None)), ..Location::default() };
        let findings = settings.report.findings();
        findings.map(move |(evaluation, finding)| found(evaluation, finding, "", vec![place.clone()]))
    });
    let run = Run {
        column_kind: Some("unicodeCodePoints".into()),
        language: Some("en".to_owned()),
        artifacts: Some(artifacts(result)),
        invocations: Some(vec![invocation(result)]),
        results: Some(of_files.chain(of_settings).collect()),
        ..Run::builder().tool(Tool::builder().driver(driver()).build()).build()
    };
    json::lines(&Sarif::builder().schema(SCHEMA).version("2.1.0").runs(vec![run]).build())
}

fn driver() -> ToolComponent {
    let notification = |id: &str, what: &str| ReportingDescriptor {
        short_description: Some(plain(what)),
        ..ReportingDescriptor::builder().id(id).build()
    };
    ToolComponent {
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        semantic_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        short_description: Some(plain(env!("CARGO_PKG_DESCRIPTION"))),
        rules: Some(rules::ALL.iter().map(|rule| descriptor(rule)).collect()),
        notifications: Some(vec![
            notification(NOT_EVALUATED, "A rule was not evaluated, because something that it needs was not known."),
            notification(BROKEN_RULE, "A rule broke: a fault of EdgeShift."),
            notification(REJECTED_FILE, "A file could not be read as a deployment."),
        ]),
        ..ToolComponent::builder().name("EdgeShift").build()
    }
}

fn descriptor(rule: &Rule) -> ReportingDescriptor {
    let level =
        ReportingConfiguration { level: Some(json!(level(rule.severity))), ..ReportingConfiguration::default() };
    let targets: Vec<&str> = rule.targets.iter().map(|target| target.word()).collect();
    let properties = json!({
        "codes": rule.codes,
        "severity": rule.severity,
        "fix": rule.fix,
        "targets": targets,
        "tags": [rule.family()],
    });
    ReportingDescriptor {
        name: Some(pascal_case(rule.id)),
        short_description: Some(plain(rule.title())),
        full_description: Some(marked(text::first_paragraph(rule))),
        help: Some(marked(text::page(rule))),
        default_configuration: Some(level),
        properties: bag(properties),
        ..ReportingDescriptor::builder().id(rule.id).build()
    }
}

/// Every file that was looked at, once.
fn artifacts(result: &CheckResult) -> Vec<Artifact> {
    let artifact = |name: &str, role: &str, length: Option<usize>| Artifact {
        location: Some(artifact(name)),
        length: length.map(number),
        roles: Some(vec![role.into()]),
        ..Artifact::default()
    };
    let judged = result.judged.iter().filter_map(|judged| {
        let length = judged.manifest()?.document().source().text().len();
        Some((judged.name.as_str(), artifact(&judged.name, "analysisTarget", Some(length))))
    });
    let rejected = result.rejected.iter().map(|rejected| rejected.name.as_str());
    let rejected = rejected.map(|name| (name, artifact(name, "analysisTarget", None)));
    let settings = result.settings.iter().filter(|settings| settings.report.findings().next().is_some());
    let settings = settings.map(|settings| settings.name.as_str());
    let settings = settings.map(|name| (name, artifact(name, "userSpecifiedConfiguration", None)));
    let mut seen = BTreeSet::new();
    judged.chain(rejected).chain(settings).filter(|(name, _)| seen.insert(*name)).map(|(_, file)| file).collect()
}

/// How the run went: the files that could not be read, the rules that broke, and everything that was not evaluated.
fn invocation(result: &CheckResult) -> Invocation {
    let mut broken = Vec::new();
    let mut waiting: BTreeMap<(bool, &str, &'static str), Vec<Location>> = BTreeMap::new();
    for judged in &result.judged {
        for evaluation in &judged.report.evaluations {
            if let Some(message) = words::broken_rule(evaluation) {
                let notification = notification(BROKEN_RULE, ResultLevel::Error, message);
                let place = subject(judged, evaluation);
                broken.push(Notification {
                    associated_rule: Some(reference(evaluation.rule)),
                    locations: Some(vec![place]),
                    ..notification
                });
            } else if let Outcome::NotEvaluated(why) = &evaluation.outcome {
                let places = waiting.entry((why.expected, &why.what, evaluation.rule)).or_default();
                let place = subject(judged, evaluation);
                // A file may have been named twice.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
    }
    let rejected = result.rejected.iter().map(rejected);
    let waiting = waiting.into_iter().map(|((required, missing, rule), places)| {
        let level = if required { ResultLevel::Warning } else { ResultLevel::Note };
        let notification =
            notification(NOT_EVALUATED, level, format!("{rule} was not evaluated for want of {missing}"));
        Notification { associated_rule: Some(reference(rule)), locations: Some(places), ..notification }
    });
    let successful = result.rejected.is_empty() && broken.is_empty();
    let notifications = rejected.chain(broken).chain(waiting).collect();
    Invocation {
        tool_execution_notifications: Some(notifications),
        ..Invocation::builder().execution_successful(successful).build()
    }
}

fn rejected(rejected: &Rejected) -> Notification {
    let Problem { message, place, help } = rejected.problem();
    let region = place.map(|place| Region {
        start_line: Some(number(place.line)),
        start_column: Some(number(place.column)),
        ..Region::default()
    });
    let location = Location { physical_location: Some(file(&rejected.name, region)), ..Location::default() };
    let message = [Some(message), help].into_iter().flatten().collect::<Vec<_>>();
    Notification {
        locations: Some(vec![location]),
        ..notification(REJECTED_FILE, ResultLevel::Error, paragraphs(&message))
    }
}

fn notification(kind: &str, level: ResultLevel, message: String) -> Notification {
    Notification {
        descriptor: Some(ReportingDescriptorReference {
            id: Some(kind.to_owned()),
            ..ReportingDescriptorReference::default()
        }),
        level: Some(json!(level)),
        ..Notification::builder().message(said(message)).build()
    }
}

/// Findings that were accepted, with what accepts them.
fn accepted(judged: &Judged) -> impl Iterator<Item = (&Evaluation, &Finding, Option<&Suppressed>)> {
    judged.report.evaluations.iter().flat_map(|evaluation| {
        let suppressed = match &evaluation.outcome {
            Outcome::Suppressed(suppressed) => Some(suppressed.as_ref()),
            _ => None,
        };
        suppressed.into_iter().flat_map(move |by| by.hidden.iter().map(move |finding| (evaluation, finding, Some(by))))
    })
}

/// A finding about a file.
fn of_file(judged: &Judged, evaluation: &Evaluation, finding: &Finding, by: Option<&Suppressed>) -> Result {
    let document = judged.manifest().map(Manifest::document);
    let place = finding.at.and_then(|at| judged.place(at));
    let (first, more) = match (document, &place) {
        (Some(document), Some(place)) => regions(judged, document, place, &finding.label),
        _ => (subject(judged, evaluation), Vec::new()),
    };
    let related = finding.related.iter().filter_map(|related| Some((judged.place(related.at)?, &related.label)));
    let related = related.filter_map(|(place, label)| Some(regions(judged, document?, &place, label)));
    let related = more.into_iter().chain(related.flat_map(|(first, more)| std::iter::once(first).chain(more)));
    let related = (1..).zip(related).map(|(id, location)| Location { id: Some(id), ..location });
    let suppressions = by.map(|by| Suppression {
        justification: Some(by.reason.clone()),
        status: Some("accepted".into()),
        properties: by.until.as_ref().and_then(|until| bag(json!({ "until": until }))),
        ..Suppression::builder().kind("external").build()
    });
    let path = place.map(|place| place.path.to_string()).unwrap_or_default();
    Result {
        related_locations: Some(related.collect()).filter(|related: &Vec<Location>| !related.is_empty()),
        suppressions: Some(suppressions.into_iter().collect()),
        fixes: finding.fix.as_ref().and_then(|fix| Some(vec![self::fix(judged, fix)?])),
        ..found(evaluation, finding, &path, vec![first])
    }
}

fn found(evaluation: &Evaluation, finding: &Finding, path: &str, locations: Vec<Location>) -> Result {
    let module = evaluation.subject.module();
    let message = without_positions(&finding.message);
    let fingerprint = fingerprint(&[evaluation.rule, module.unwrap_or_default(), path, &message]);
    let properties = json!({
        "severity": finding.severity,
        "when": finding.when,
        "evidence": evaluation.level,
        "module": module,
        "fix": finding.fix.as_ref().map(words::fix),
    });
    Result {
        rule_id: Some(evaluation.rule.to_owned()),
        rule_index: rules::ALL.iter().position(|rule| rule.id == evaluation.rule).map(number),
        level: Some(level(finding.severity)),
        locations: Some(locations),
        partial_fingerprints: Some(BTreeMap::from([(FINGERPRINT.to_owned(), fingerprint)])),
        // All results of a run say whether they are suppressed, or none does.
        suppressions: Some(Vec::new()),
        properties: bag(properties),
        ..Result::builder().message(said(paragraphs(&[&finding.message, &finding.reason]))).build()
    }
}

/// The place of what an evaluation is about, as far as it is known without a finding.
fn subject(judged: &Judged, evaluation: &Evaluation) -> Location {
    let module = evaluation.subject.module().map(|id| LogicalLocation {
        name: Some(id.to_owned()),
        kind: Some("module".to_owned()),
        ..LogicalLocation::default()
    });
    Location {
        physical_location: judged.manifest().map(|_| file(&judged.name, None)),
        logical_locations: module.map(|module| vec![module]),
        ..Location::default()
    }
}

/// The locations of one place: its first region, which knows the path, and the others.
fn regions(judged: &Judged, document: &Document, place: &Place, label: &str) -> (Location, Vec<Location>) {
    let mut regions = place.regions.iter().map(|at| Location {
        physical_location: Some(file(&judged.name, Some(region(at)))),
        message: (!label.is_empty()).then(|| said(label)),
        ..Location::default()
    });
    let kind = match document.find(&place.path).map(At::kind) {
        Some(Kind::Object) => "object",
        Some(Kind::Array) => "array",
        _ => "value",
    };
    let path = place.path.to_string();
    let logical = (!path.is_empty()).then(|| LogicalLocation {
        fully_qualified_name: Some(path),
        kind: Some(kind.to_owned()),
        ..LogicalLocation::default()
    });
    let first = Location { logical_locations: logical.map(|at| vec![at]), ..regions.next().unwrap_or_default() };
    (first, regions.collect())
}

/// The fix as bytes of the file; none where it cannot be made in the file itself, as in createOptions in a string.
fn fix(judged: &Judged, fix: &finding::Fix) -> Option<Fix> {
    let document = judged.manifest()?.document();
    let source = document.source();
    let replacements = replacements(document, &fix.edits).ok().filter(|all| !all.is_empty())?;
    let replacements = replacements.into_iter().map(|replacement| Replacement {
        inserted_content: (!replacement.with.is_empty())
            .then(|| ArtifactContent { text: Some(replacement.with), ..ArtifactContent::default() }),
        ..Replacement::builder().deleted_region(region(&place::Region::of(source, replacement.range))).build()
    });
    let change = ArtifactChange::builder()
        .artifact_location(artifact(&judged.name))
        .replacements(replacements.collect::<Vec<_>>())
        .build();
    let properties = bag(json!({ "safety": fix.safety }));
    Some(Fix {
        description: Some(said(words::fix(fix))),
        properties,
        ..Fix::builder().artifact_changes(vec![change]).build()
    })
}

fn region(at: &place::Region) -> Region {
    Region {
        start_line: Some(number(at.start.line)),
        start_column: Some(number(at.start.column)),
        end_line: Some(number(at.end.line)),
        end_column: Some(number(at.end.column)),
        byte_offset: Some(number(at.bytes.start)),
        byte_length: Some(number(at.bytes.len())),
        ..Region::default()
    }
}

fn file(name: &str, region: Option<Region>) -> PhysicalLocation {
    PhysicalLocation { artifact_location: Some(artifact(name)), region, ..PhysicalLocation::default() }
}

fn artifact(name: &str) -> ArtifactLocation {
    ArtifactLocation { uri: Some(uri(name)), ..ArtifactLocation::default() }
}

/// A relative reference for a relative path, a `file` URI for an absolute one.
fn uri(name: &str) -> String {
    let name = name.replace(std::path::MAIN_SEPARATOR, "/");
    let name = name.trim_start_matches("./");
    let scheme = if name.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(name, ENCODED))
}

fn reference(rule: &'static str) -> ReportingDescriptorReference {
    let index = rules::ALL.iter().position(|listed| listed.id == rule).map(number);
    ReportingDescriptorReference { id: Some(rule.to_owned()), index, ..ReportingDescriptorReference::default() }
}

fn level(severity: Severity) -> ResultLevel {
    match severity {
        Severity::Block | Severity::Silent => ResultLevel::Error,
        Severity::Warn => ResultLevel::Warning,
        Severity::Info => ResultLevel::Note,
    }
}

/// FNV-1a over the parts, 64 bits: the same on every machine and in every release, wherever the lines have moved to.
fn fingerprint(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// The words of a message that are no `line:column`.
fn without_positions(message: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_position = |word: &&str| {
        let pair = word.trim_end_matches([',', ';', '.', ')']).split_once(':');
        pair.is_some_and(|(line, column)| is_number(line) && is_number(column))
    };
    message.split(' ').filter(|word| !is_position(word)).collect::<Vec<_>>().join(" ")
}

/// `StorageShareBind` for `storage-share-bind`.
fn pascal_case(id: &str) -> String {
    let capitalised = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    id.split('-').filter(|word| !word.is_empty()).map(capitalised).collect()
}

/// Sentences of their own, each in its paragraph.
fn paragraphs(parts: &[impl AsRef<str>]) -> String {
    let parts = parts.iter().map(AsRef::as_ref).filter(|part: &&str| !part.is_empty());
    parts.map(|part| format!("{}.", part.trim_end_matches('.'))).collect::<Vec<_>>().join("\n\n")
}

/// SARIF counts in 64 bits with a sign.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn said(text: impl Into<String>) -> Message {
    Message { text: Some(text.into()), ..Message::default() }
}

fn plain(text: impl Into<String>) -> MultiformatMessageString {
    MultiformatMessageString::builder().text(text).build()
}

/// A text that is Markdown, and reads well as it is.
fn marked(text: String) -> MultiformatMessageString {
    MultiformatMessageString { markdown: Some(text.clone()), ..plain(text) }
}

/// The members of an object that are not null.
fn bag(properties: Value) -> Option<PropertyBag> {
    let Value::Object(mut members) = properties else { return None };
    members.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(members)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./a b/ä#1.json"), "a%20b/%C3%A4%231.json");
        assert_eq!(uri("/a/x.json"), "file:///a/x.json");
        assert_eq!(uri("../c:d.json"), "../c%3Ad.json");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }

    #[test]
    fn fingerprints_are_known_numbers_and_keep_parts_apart() {
        assert_eq!(fingerprint(&[]), "cbf29ce484222325");
        assert_eq!(fingerprint(&["a"]), "089be207b544f1e4");
        assert_ne!(fingerprint(&["a", "b"]), fingerprint(&["ab", ""]));
        assert_eq!(without_positions("missing, opened at 12:70, port `80:80`"), "missing, opened at port `80:80`");
    }
}
