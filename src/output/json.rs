//! The report for programs, version 1. Field names are a contract: they only grow. `schema/check-1.json` is its schema.

use jiff::Timestamp;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};

use super::{CheckResult, Judged, Place, Problem, Rejected, words};
use crate::engine::Rule;
use crate::evidence::{Observed, Snapshot, SourceLine};
use crate::finding::{Finding, Level, Safety, Severity, When};
use crate::manifest::Manifest;
use crate::report::{Evaluation, Health, Ledger, Outcome, Report, Status, Subject, Summary};
use crate::settings::Settings;
use crate::text::Edit;

/// The name and version of this format.
const CHECK: &str = "edgeshift.check/1";

/// The report of `edgeshift check`.
#[derive(Debug, Serialize, JsonSchema)]
struct Check<'a> {
    /// The name and version of this format.
    #[schemars(extend("const" = CHECK))]
    schema: &'static str,
    /// The worst status of all files and of the settings; never `pass` where a file could not be read (see `errors`).
    status: Status,
    /// Counts of findings over all files and the settings.
    summary: Summary,
    /// What was judged, in the order of the arguments.
    files: Vec<File<'a>>,
    /// Findings about the settings themselves.
    settings: Vec<Found<'a>>,
    /// Files that could not be judged.
    errors: Vec<Error>,
}

/// One file and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
struct File<'a> {
    /// Its name as it was given.
    #[serde(rename = "file")]
    name: &'a str,
    /// What it is: `deployment`, `deployment template`, `layered deployment`, `createOptions`.
    form: Option<&'static str>,
    /// What it was judged for: `ase-k8s`, `ase-vm`, with `@yymm` where the software is known.
    target: String,
    /// Whether it passes at `--fail-on`.
    status: Status,
    /// Counts of findings.
    summary: Summary,
    /// Counts of outcomes, one for every rule and subject.
    ledger: Ledger,
    /// How each module stands.
    modules: Vec<Module<'a>>,
    /// Who was asked about the device; nobody where only the file was judged.
    sources: Vec<Asked<'a>>,
    /// What is not well.
    findings: Vec<Found<'a>>,
    /// What is not well and was accepted.
    suppressed: Vec<Suppressed<'a>>,
    /// What could not be judged, and so did not pass.
    not_evaluated: Vec<NotEvaluated<'a>>,
    /// Rules that broke: faults of EdgeShift.
    broken: Vec<Broken<'a>>,
}

/// A source of evidence and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
struct Asked<'a> {
    /// Its name: `docker`.
    source: &'a str,
    /// What came of it.
    outcome: AskedOutcome,
    /// Why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// How long that took, ms.
    latency_ms: u64,
    /// How old what it said was when the snapshot was taken, ms.
    age_ms: u64,
}

/// What comes of asking a source.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AskedOutcome {
    /// It answered.
    Answered,
    /// It answered that there is nothing to see.
    Nothing,
    /// It did not answer.
    Failed,
    /// It is not here, and nobody asked for it by name.
    NotAsked,
}

/// How one module stands.
#[derive(Debug, Serialize, JsonSchema)]
struct Module<'a> {
    /// Its id.
    #[serde(rename = "module")]
    id: &'a str,
    /// Its health on the target.
    health: Health,
    /// The rule that decides that; none where it is ready.
    decided_by: Option<&'static str>,
}

/// One finding.
#[derive(Debug, Serialize, JsonSchema)]
struct Found<'a> {
    /// The rule's id.
    rule: &'static str,
    /// The rule's codes, as far as they are about this finding.
    codes: &'static [&'static str],
    /// How bad it is here.
    severity: Severity,
    /// When it bites, if not at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<When>,
    /// What kind of evidence it rests on.
    evidence: Level,
    /// The module; none for the deployment as a whole.
    module: Option<&'a str>,
    /// What is wrong, in one line.
    message: &'a str,
    /// Why that matters.
    reason: &'a str,
    /// The place in the file; none for what was observed, not written.
    location: Option<Location>,
    /// Other places that belong to it.
    related: Vec<Related<'a>>,
    /// The way out, where there is one.
    fix: Option<Fix<'a>>,
}

/// A place: its path, where it starts, and every range of bytes (a place inside of string pieces has several).
#[derive(Debug, Serialize, JsonSchema)]
struct Location {
    /// The JSON path; it goes through JSON in strings as if it were not in a string.
    path: String,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The bytes, in order.
    ranges: Vec<Range>,
}

/// Bytes of the file.
#[derive(Debug, Serialize, JsonSchema)]
struct Range {
    /// The first byte, from 0.
    start: usize,
    /// The byte behind the last one.
    end: usize,
    /// The line of `start`, from 1.
    line: usize,
    /// The column of `start`, from 1, in characters.
    column: usize,
    /// The line of `end`.
    end_line: usize,
    /// The column of `end`.
    end_column: usize,
}

/// Another place.
#[derive(Debug, Serialize, JsonSchema)]
struct Related<'a> {
    /// What is there.
    label: &'a str,
    /// Where.
    location: Location,
}

/// A way out.
#[derive(Debug, Serialize, JsonSchema)]
struct Fix<'a> {
    /// What it does, as an order.
    title: &'a str,
    /// Whether a machine may do it.
    safety: Safety,
    /// The changes, on paths of the file as it is; empty where only words can help.
    edits: &'a [Edit],
}

/// A rule that could not be judged for want of something.
#[derive(Debug, Serialize, JsonSchema)]
struct NotEvaluated<'a> {
    /// The rule's id.
    rule: &'static str,
    /// The module; none for the deployment as a whole.
    module: Option<&'a str>,
    /// What was not known.
    missing: &'a str,
    /// Whether something that was given should have told: then the file does not pass.
    required: bool,
}

/// Findings that were accepted in the settings.
#[derive(Debug, Serialize, JsonSchema)]
struct Suppressed<'a> {
    /// The rule's id.
    rule: &'static str,
    /// The module; none for the deployment as a whole.
    module: Option<&'a str>,
    /// How many.
    findings: usize,
    /// Why they were accepted.
    reason: &'a str,
    /// The last day, `yyyy-mm-dd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<&'a str>,
}

/// A rule that broke.
#[derive(Debug, Serialize, JsonSchema)]
struct Broken<'a> {
    /// The rule's id.
    rule: &'static str,
    /// The module; none for the deployment as a whole.
    module: Option<&'a str>,
    /// How.
    message: &'a str,
}

/// A file that could not be judged.
#[derive(Debug, Serialize, JsonSchema)]
struct Error {
    /// Its name as it was given.
    file: String,
    /// What is wrong.
    message: String,
    /// The line, from 1, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column, from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// The way out, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// The report of a `check`.
pub fn check(result: &CheckResult) -> String {
    let check = Check {
        schema: CHECK,
        status: result.status(),
        summary: result.summary(),
        files: result.judged.iter().map(file).collect(),
        settings: result
            .settings
            .iter()
            .flat_map(|settings| settings.report.findings())
            .map(|(evaluation, finding)| found(evaluation, finding, None))
            .collect(),
        errors: result.rejected.iter().map(error).collect(),
    };
    lines(&check)
}

/// The JSON Schema of what [`check`] writes.
pub fn check_schema() -> String {
    lines(&SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Check<'_>>())
}

/// The JSON Schema of the settings, as they are read from `.edgeshift.toml` and from desired properties.
pub fn settings_schema() -> String {
    lines(&SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Settings>())
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

/// What the GPUs do, and what `report` says of them.
pub fn gpu(snapshot: &Snapshot, report: &Report) -> String {
    let findings = report.findings().map(|(evaluation, finding)| {
        let gpu = match &evaluation.subject {
            Subject::Gpu(uuid) => Some(uuid.as_ref()),
            _ => None,
        };
        json!({
            "rule": evaluation.rule,
            "gpu": gpu,
            "module": evaluation.subject.module(),
            "severity": finding.severity,
            "message": finding.message,
            "reason": finding.reason,
            "advice": finding.fix.as_ref().map(|fix| &fix.title),
        })
    });
    lines(&json!({
        "schema": "edgeshift.gpus/1",
        "taken_at": snapshot.taken_at.to_string(),
        "driver": snapshot.gpu_driver.known(),
        "gpus": snapshot.gpus.known(),
        "modules": snapshot.gpus_of_modules(),
        "findings": findings.collect::<Vec<_>>(),
    }))
}

pub(super) fn lines(value: &impl Serialize) -> String {
    // Serialising our own structs to memory cannot fail; were it to, the reader gets valid JSON that says so.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| Value::from(error.to_string()).to_string());
    text + "\n"
}

fn file(judged: &Judged) -> File<'_> {
    let manifest = judged.manifest();
    let report = &judged.report;
    let standings = report.standings();
    let modules = manifest.into_iter().flat_map(Manifest::modules).map(|module| {
        let standing = standings.get(&Subject::Module(module.id().into())).copied().unwrap_or_default();
        Module { id: module.id(), health: standing.health, decided_by: standing.rule }
    });
    let not_evaluated = report.evaluations.iter().filter_map(|evaluation| match &evaluation.outcome {
        Outcome::NotEvaluated(why) => {
            let module = evaluation.subject.module();
            Some(NotEvaluated { rule: evaluation.rule, module, missing: &why.what, required: why.expected })
        }
        _ => None,
    });
    let suppressed = report.evaluations.iter().filter_map(|evaluation| match &evaluation.outcome {
        Outcome::Suppressed(suppressed) => Some(Suppressed {
            rule: evaluation.rule,
            module: evaluation.subject.module(),
            findings: suppressed.hidden.len(),
            reason: &suppressed.reason,
            until: suppressed.until.as_deref(),
        }),
        _ => None,
    });
    let broken = report.evaluations.iter().filter_map(|evaluation| match &evaluation.outcome {
        Outcome::Broken(message) => {
            Some(Broken { rule: evaluation.rule, module: evaluation.subject.module(), message })
        }
        _ => None,
    });
    File {
        name: &judged.name,
        form: manifest.map(|manifest| manifest.form().word()),
        target: report.target.to_string(),
        status: judged.status,
        summary: report.summary(),
        ledger: report.ledger(),
        modules: modules.collect(),
        sources: judged.snapshot.sources.iter().map(|line| asked(line, judged.snapshot.taken_at)).collect(),
        findings: report.findings().map(|(evaluation, finding)| found(evaluation, finding, Some(judged))).collect(),
        suppressed: suppressed.collect(),
        not_evaluated: not_evaluated.collect(),
        broken: broken.collect(),
    }
}

fn asked(line: &SourceLine, now: Timestamp) -> Asked<'_> {
    let (outcome, reason) = match &line.answer {
        Observed::Known(()) => (AskedOutcome::Answered, None),
        Observed::Absent => (AskedOutcome::Nothing, None),
        Observed::Unknown(why) if why.expected => (AskedOutcome::Failed, Some(why.what.as_ref())),
        Observed::Unknown(why) => (AskedOutcome::NotAsked, Some(why.what.as_ref())),
    };
    Asked { source: &line.name, outcome, reason, latency_ms: line.latency_ms, age_ms: words::age_ms(line, now) }
}

fn found<'a>(evaluation: &'a Evaluation, finding: &'a Finding, judged: Option<&Judged>) -> Found<'a> {
    let place = |at| judged.and_then(|judged| judged.place(at)).map(location);
    Found {
        rule: evaluation.rule,
        codes: finding.codes.unwrap_or(evaluation.codes),
        severity: finding.severity,
        when: finding.when,
        evidence: evaluation.level,
        module: evaluation.subject.module(),
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

fn location(place: Place) -> Location {
    let (line, column) = place.start().map_or((1, 1), |start| (start.line, start.column));
    let ranges = place.regions.into_iter().map(|region| Range {
        start: region.bytes.start,
        end: region.bytes.end,
        line: region.start.line,
        column: region.start.column,
        end_line: region.end.line,
        end_column: region.end.column,
    });
    Location { path: place.path.to_string(), line, column, ranges: ranges.collect() }
}

fn error(rejected: &Rejected) -> Error {
    let Problem { message, place, help } = rejected.problem();
    let (line, column) = (place.map(|place| place.line), place.map(|place| place.column));
    Error { file: rejected.name.clone(), message, line, column, help }
}
