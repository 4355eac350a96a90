//! The report as workflow commands of GitHub Actions: an annotation in the changed file for each finding.

use std::fmt::{self, Write};

use super::place::Place;
use super::{CheckResult, Problem, Rejected, words};
use crate::finding::{Finding, Severity};
use crate::report::Evaluation;

/// The report of a `check`.
pub fn check(result: &CheckResult) -> String {
    let mut out = String::new();
    for judged in &result.judged {
        for (evaluation, finding) in judged.findings() {
            let place = finding.at.and_then(|at| judged.place(at));
            let _ = writeln!(out, "{}", annotation(&judged.name, place.as_ref(), evaluation, finding));
        }
    }
    if let Some(settings) = &result.settings {
        for (evaluation, finding) in settings.report.findings() {
            let _ = writeln!(out, "{}", annotation(&settings.name, None, evaluation, finding));
        }
    }
    for rejected in &result.rejected {
        let _ = writeln!(out, "{}", self::rejected(rejected));
    }
    for broken in words::broken(result) {
        let _ = writeln!(out, "{}", Command::new("error", broken).with("title", "a rule of EdgeShift broke"));
    }
    for waiting in words::waiting(result) {
        let text = waiting.to_string();
        // What nobody was asked for is told in the log only: a step shows few annotations.
        let _ = if waiting.required {
            writeln!(out, "{}", Command::new("warning", text).with("title", "not evaluated"))
        } else {
            writeln!(out, "{}", data(&text))
        };
    }
    let _ = writeln!(out, "{}", words::summary_line(result));
    out
}

/// `::error file=…,line=…::message`
struct Command {
    name: &'static str,
    properties: Vec<(&'static str, String)>,
    message: String,
}

impl Command {
    fn new(name: &'static str, message: String) -> Self {
        Self { name, properties: Vec::new(), message }
    }

    fn with(mut self, property: &'static str, value: impl fmt::Display) -> Self {
        self.properties.push((property, value.to_string()));
        self
    }

    fn file(self, name: &str) -> Self {
        // Annotations are matched to paths from the root of the repository.
        self.with("file", name.trim_start_matches("./"))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<String> =
            self.properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
        write!(f, "::{} {}::{}", self.name, properties.join(","), data(&self.message))
    }
}

fn annotation(file: &str, place: Option<&Place>, evaluation: &Evaluation, finding: &Finding) -> Command {
    let name = match finding.severity {
        Severity::Block | Severity::Silent => "error",
        Severity::Warn => "warning",
        Severity::Info => "notice",
    };
    let module = words::named_module(evaluation).map(|id| format!("module `{id}`: ")).unwrap_or_default();
    let mut message = format!("{module}{}\n{}", finding.message, finding.reason);
    if let Some(fix) = &finding.fix {
        let _ = write!(message, "\nfix: {}", words::fix(fix));
    }
    let mut command = Command::new(name, message).file(file);
    if let Some(region) = place.and_then(|place| place.regions.first()) {
        command = command.with("line", region.start.line).with("endLine", region.end.line);
        // Columns over several lines are refused.
        if region.start.line == region.end.line {
            command = command.with("col", region.start.column).with("endColumn", region.end.column);
        }
    }
    command.with("title", format!("{} ({})", evaluation.rule, words::severity(finding)))
}

fn rejected(rejected: &Rejected) -> Command {
    let Problem { message, place, help } = rejected.problem();
    let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let mut command = Command::new("error", format!("{message}{help}")).file(&rejected.name);
    if let Some(place) = place {
        command = command.with("line", place.line).with("col", place.column);
    }
    command.with("title", "could not be read")
}

/// A text on one line, as the runner undoes it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_command() {
        let command = Command::new("error", "100%\r\n::set-output name=x::y".to_owned());
        let command = command.file("./d,e.json").with("title", "a:b");
        let expected = "::error file=d%2Ce.json,title=a%3Ab::100%25%0D%0A::set-output name=x::y";
        assert_eq!(command.to_string(), expected);
    }
}
