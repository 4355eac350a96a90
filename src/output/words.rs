//! What several formats say in the same words.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use jiff::Timestamp;

use super::{CheckResult, Judged};
use crate::evidence::{Observed, SourceLine};
use crate::finding::{Finding, Fix, Safety, When};
use crate::manifest::CREATE_OPTIONS;
use crate::report::{Evaluation, Outcome, Summary};

/// `3 blocking, 2 silent, 1 warning in 4 modules; 9 fixable`
pub(super) fn summary_line(result: &CheckResult) -> String {
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

pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// `silent`, `block on update`
pub(super) fn severity(finding: &Finding) -> String {
    match finding.when {
        Some(When::Update) => format!("{} on update", finding.severity.word()),
        None => finding.severity.word().to_owned(),
    }
}

/// The module that an evaluation is about, where it has a name of its own.
pub(super) fn named_module(evaluation: &Evaluation) -> Option<&str> {
    evaluation.subject.module().filter(|id| *id != CREATE_OPTIONS)
}

/// What the fix does, and whether a machine may do it.
pub(super) fn fix(fix: &Fix) -> String {
    let safety = match fix.safety {
        Safety::Safe => " (safe)",
        Safety::Ask => " (needs your word)",
        Safety::None => "",
    };
    format!("{}{safety}", fix.title)
}

/// Something that was not known, and the rules that wait for it.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pub(super) required: bool,
    pub(super) missing: &'a str,
    pub(super) rules: Vec<&'static str>,
}

impl Waiting<'_> {
    /// `a, b for want of the shares of the site`
    pub(super) fn rules_and_why(&self) -> String {
        let rules = if self.rules.len() > 4 { plural(self.rules.len(), "rule") } else { self.rules.join(", ") };
        format!("{rules} for want of {}", self.missing)
    }
}

impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.required { "not evaluated (required)" } else { "not evaluated" };
        write!(f, "{mark}: {}", self.rules_and_why())
    }
}

/// `source docker: answered in 12 ms`: one source and what became of it, in a snapshot of `now`.
pub(super) fn source(line: &SourceLine, now: Timestamp) -> String {
    let (name, latency) = (&line.name, line.latency_ms);
    match &line.answer {
        Observed::Known(()) => match age_ms(line, now) / 1000 {
            0 => format!("source {name}: answered in {latency} ms"),
            age => format!("source {name}: answered in {latency} ms, with what it saw {age} s before"),
        },
        Observed::Absent => format!("source {name}: there is nothing for it to see"),
        Observed::Unknown(why) if why.expected => format!("source {name}: failed after {latency} ms: {}", why.what),
        Observed::Unknown(why) => format!("source {name}: not asked: {}", why.what),
    }
}

/// How old what a source said was when the snapshot was taken, ms.
pub(super) fn age_ms(line: &SourceLine, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(line.taken_at).as_millis()).unwrap_or_default()
}

/// The sources of what was judged; every file of a check is judged with the same look at the device.
pub(super) fn sources(result: &CheckResult) -> Vec<String> {
    let seen = result.judged.iter().map(|judged| &judged.snapshot).find(|snapshot| !snapshot.sources.is_empty());
    seen.into_iter().flat_map(|seen| seen.sources.iter().map(|line| source(line, seen.taken_at))).collect()
}

/// Everything that was not known, what is required last.
pub(super) fn waiting(result: &CheckResult) -> Vec<Waiting<'_>> {
    let mut waiting: BTreeMap<(bool, &str), Vec<&'static str>> = BTreeMap::new();
    for evaluation in result.reports().flat_map(|report| &report.evaluations) {
        if let Outcome::NotEvaluated(why) = &evaluation.outcome {
            let rules = waiting.entry((why.expected, &why.what)).or_default();
            if !rules.contains(&evaluation.rule) {
                rules.push(evaluation.rule);
            }
        }
    }
    waiting.into_iter().map(|((required, missing), rules)| Waiting { required, missing, rules }).collect()
}

/// `rule x failed on module m: …`, one for each rule that broke.
pub(super) fn broken(result: &CheckResult) -> Vec<String> {
    let evaluations = result.reports().flat_map(|report| &report.evaluations);
    evaluations.filter_map(broken_rule).collect()
}

/// The same for one evaluation.
pub(super) fn broken_rule(evaluation: &Evaluation) -> Option<String> {
    match &evaluation.outcome {
        Outcome::Broken(message) => {
            Some(format!("rule {} failed on {}: {message}", evaluation.rule, evaluation.subject))
        }
        _ => None,
    }
}
