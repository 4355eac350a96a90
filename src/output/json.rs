//! The report for programs, version 1. Field names are a contract: they only grow.

use serde::Serialize;
use serde_json::Value;

use super::text::status_word;
use super::{CheckResult, Judged, Reason, Rejected};
use crate::engine::Rule;
use crate::finding::{Finding, Level, Safety, Severity, When};
use crate::manifest::{Manifest, ManifestError};
use crate::report::{Evaluation, Health, Ledger, Outcome, Subject, Summary};
use crate::text::{Document, Edit, Span};

/// The name and version of this format.
const CHECK: &str = "edgeshift.check/1";

#[derive(Debug, Serialize)]
struct Check<'a> {
    schema: &'static str,
    status: &'static str,
    summary: Summary,
    files: Vec<File<'a>>,
    errors: Vec<Error>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    #[serde(rename = "file")]
    name: &'a str,
    form: Option<&'static str>,
    target: String,
    status: &'static str,
    summary: Summary,
    ledger: Ledger,
    modules: Vec<Module<'a>>,
    findings: Vec<Found<'a>>,
    not_evaluated: Vec<NotEvaluated<'a>>,
    broken: Vec<Broken<'a>>,
}

#[derive(Debug, Serialize)]
struct Module<'a> {
    #[serde(rename = "module")]
    id: &'a str,
    health: Health,
    decided_by: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    rule: &'static str,
    codes: &'static [&'static str],
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    evidence: Level,
    module: Option<&'a str>,
    message: &'a str,
    reason: &'a str,
    location: Option<Location>,
    related: Vec<Related<'a>>,
    fix: Option<Fix<'a>>,
}

/// A place: its path, where it starts, and every range of bytes (a place inside of string pieces has several).
#[derive(Debug, Serialize)]
struct Location {
    path: String,
    line: usize,
    column: usize,
    ranges: Vec<Range>,
}

#[derive(Debug, Serialize)]
struct Range {
    start: usize,
    end: usize,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

#[derive(Debug, Serialize)]
struct Related<'a> {
    label: &'a str,
    location: Location,
}

#[derive(Debug, Serialize)]
struct Fix<'a> {
    title: &'a str,
    safety: Safety,
    edits: &'a [Edit],
}

#[derive(Debug, Serialize)]
struct NotEvaluated<'a> {
    rule: &'static str,
    module: Option<&'a str>,
    missing: &'a str,
    required: bool,
}

#[derive(Debug, Serialize)]
struct Broken<'a> {
    rule: &'static str,
    module: Option<&'a str>,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Error {
    file: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// The report of a `check`.
pub fn check(result: &CheckResult) -> String {
    let check = Check {
        schema: CHECK,
        status: status_word(result.status()),
        summary: result.summary(),
        files: result.judged.iter().map(file).collect(),
        errors: result.rejected.iter().map(error).collect(),
    };
    lines(&check)
}

/// The list of rules.
pub fn rules(rules: &[&Rule]) -> String {
    #[derive(Serialize)]
    struct Listed {
        id: &'static str,
        title: &'static str,
        codes: &'static [&'static str],
        severity: Severity,
        fix: Safety,
        targets: Vec<&'static str>,
        seed: &'static [&'static str],
        source: &'static str,
    }
    let listed = rules.iter().map(|rule| Listed {
        id: rule.id,
        title: rule.title(),
        codes: rule.codes,
        severity: rule.severity,
        fix: rule.fix,
        targets: rule.targets.iter().map(|target| target.word()).collect(),
        seed: rule.seed,
        source: rule.source,
    });
    lines(&listed.collect::<Vec<_>>())
}

fn lines(value: &impl Serialize) -> String {
    // Serialising our own structs to memory cannot fail; were it to, the reader gets valid JSON that says so.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| Value::from(error.to_string()).to_string());
    text + "\n"
}

fn file(judged: &Judged) -> File<'_> {
    let manifest = judged.manifest();
    let report = &judged.report;
    let standings = report.standings();
    let modules = manifest.into_iter().flat_map(Manifest::modules).map(|module| {
        let standing = standings.get(&Subject::Module(module.id().to_owned())).copied().unwrap_or_default();
        Module { id: module.id(), health: standing.health, decided_by: standing.rule }
    });
    let document = manifest.map(Manifest::document);
    let not_evaluated = report.evaluations.iter().filter_map(|evaluation| match &evaluation.outcome {
        Outcome::NotEvaluated(why) => {
            let module = module_of(evaluation);
            Some(NotEvaluated { rule: evaluation.rule, module, missing: &why.what, required: why.expected })
        }
        _ => None,
    });
    let broken = report.evaluations.iter().filter_map(|evaluation| match &evaluation.outcome {
        Outcome::Broken(message) => Some(Broken { rule: evaluation.rule, module: module_of(evaluation), message }),
        _ => None,
    });
    File {
        name: &judged.name,
        form: manifest.map(|manifest| manifest.form().word()),
        target: report.target.to_string(),
        status: status_word(judged.status),
        summary: report.summary(),
        ledger: report.ledger(),
        modules: modules.collect(),
        findings: report.findings().map(|(evaluation, finding)| found(evaluation, finding, document)).collect(),
        not_evaluated: not_evaluated.collect(),
        broken: broken.collect(),
    }
}

fn found<'a>(evaluation: &'a Evaluation, finding: &'a Finding, document: Option<&Document>) -> Found<'a> {
    let place = |at: Span| document.map(|document| location(document, at));
    Found {
        rule: evaluation.rule,
        codes: evaluation.codes,
        severity: finding.severity,
        when: finding.when,
        evidence: evaluation.level,
        module: module_of(evaluation),
        message: &finding.message,
        reason: &finding.reason,
        location: finding.at.and_then(place),
        related: finding
            .related
            .iter()
            .filter_map(|related| Some(Related { label: &related.label, location: place(related.at)? }))
            .collect(),
        fix: finding.fix.as_ref().map(|fix| Fix { title: &fix.title, safety: fix.safety, edits: &fix.edits }),
    }
}

fn module_of(evaluation: &Evaluation) -> Option<&str> {
    match &evaluation.subject {
        Subject::Module(id) => Some(id),
        Subject::Deployment => None,
    }
}

fn location(document: &Document, at: Span) -> Location {
    let start = document.position(at);
    let ranges = document.ranges(at).into_iter().map(|range| {
        let (from, to) = (document.source().position(range.start), document.source().position(range.end));
        let (line, column, end_line, end_column) = (from.line, from.column, to.line, to.column);
        Range { start: range.start, end: range.end, line, column, end_line, end_column }
    });
    Location { path: document.path(at).to_string(), line: start.line, column: start.column, ranges: ranges.collect() }
}

fn error(rejected: &Rejected) -> Error {
    let file = rejected.name.clone();
    match &rejected.reason {
        Reason::Manifest(ManifestError::Syntax { document, error }) => {
            let place = error.at.first().map(|range| document.position(range.start));
            Error {
                file,
                message: error.message.clone(),
                line: place.map(|place| place.line),
                column: place.map(|place| place.column),
                help: error.help.clone(),
            }
        }
        Reason::Manifest(error) => Error { file, message: error.to_string(), line: None, column: None, help: None },
        Reason::Unreadable(message) => Error { file, message: message.clone(), line: None, column: None, help: None },
    }
}
