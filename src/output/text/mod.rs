//! The report for people: a frame for each finding, then what could not be evaluated, then one line.

mod frame;
mod pages;
mod patch;

use std::collections::BTreeMap;
use std::fmt::Write;

use annotate_snippets::Renderer;

use super::{CheckResult, Judged, Reason, Rejected};
use crate::manifest::ManifestError;
use crate::report::{Outcome, Status, Summary};

pub use pages::{page, table};

/// How the text is to look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns of the terminal; source lines are cut to fit.
    pub width: usize,
}

impl Style {
    fn renderer(self) -> Renderer {
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(self.width)
    }
}

/// The report of a `check`.
pub fn check(result: &CheckResult, style: Style) -> String {
    let mut out = String::new();
    for judged in &result.judged {
        out.push_str(&frame::findings(judged, style));
    }
    if let Some((report, _)) = &result.settings {
        out.push_str(&frame::without_document(report, style));
    }
    for line in not_evaluated(&result.judged) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "{}", summary_line(result));
    out
}

/// One input that could not be judged, with the place where that shows.
pub fn rejected(rejected: &Rejected, style: Style) -> String {
    match &rejected.reason {
        Reason::Unreadable(message) => format!("error: {message}\n"),
        Reason::Manifest(ManifestError::Syntax { document, error }) => frame::syntax(document, error, style),
        Reason::Manifest(error) => format!("error: {error}\n"),
    }
}

/// `3 blocking, 2 silent, 1 warning in 4 modules; 9 fixable`
pub fn summary_line(result: &CheckResult) -> String {
    let summary = result.summary();
    let modules: usize = result.judged.iter().map(modules).sum();
    let mut place = plural(modules, "module");
    if result.judged.len() > 1 {
        let _ = write!(place, " of {} files", result.judged.len());
    }
    let rejected = match result.rejected.len() {
        0 => String::new(),
        n => format!("; {} could not be read", plural(n, "file")),
    };
    if result.judged.is_empty() {
        return format!("nothing was checked{rejected}");
    }
    let fixable = if summary.fixable > 0 { format!("; {} fixable", summary.fixable) } else { String::new() };
    let suppressed: usize = result.reports().map(|report| report.ledger().suppressed).sum();
    let suppressed = if suppressed > 0 { format!("; {suppressed} suppressed") } else { String::new() };
    format!("{} in {place}{fixable}{suppressed}{rejected}", counts(summary))
}

fn counts(summary: Summary) -> String {
    let parts: Vec<String> = [
        (summary.block, "blocking".to_owned()),
        (summary.silent, "silent".to_owned()),
        (summary.warn, if summary.warn == 1 { "warning" } else { "warnings" }.to_owned()),
        (summary.info, "info".to_owned()),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

fn modules(judged: &Judged) -> usize {
    judged.manifest().map_or(0, |manifest| manifest.modules().count())
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// One line for each thing that was not known, with the rules that wait for it; rules that broke come last.
fn not_evaluated(judged: &[Judged]) -> Vec<String> {
    let mut waiting: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    let mut broken = Vec::new();
    for evaluation in judged.iter().flat_map(|judged| &judged.report.evaluations) {
        match &evaluation.outcome {
            Outcome::NotEvaluated(why) => {
                let rules = waiting.entry((why.expected, &why.what)).or_default();
                if !rules.contains(&evaluation.rule) {
                    rules.push(evaluation.rule);
                }
            }
            Outcome::Broken(message) => {
                broken.push(format!("broken: rule {} failed on {}: {message}", evaluation.rule, evaluation.subject));
            }
            _ => {}
        }
    }
    let line = |((expected, what), rules): ((bool, &str), Vec<&str>)| {
        let named = if rules.len() > 4 { plural(rules.len(), "rule") } else { rules.join(", ") };
        let mark = if expected { "not evaluated (required)" } else { "not evaluated" };
        format!("{mark}: {named} for want of {what}")
    };
    waiting.into_iter().map(line).chain(broken).collect()
}

/// The word of a status.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}
