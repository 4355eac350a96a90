//! The report as GitHub Markdown, for a comment on a pull request.

use std::fmt::Write;

use super::words::{self, Waiting};
use super::{CheckResult, Judged, Problem, Rejected};
use crate::finding::Finding;
use crate::report::{Evaluation, Outcome, Suppressed};

/// The report of a `check`.
pub fn check(result: &CheckResult) -> String {
    let mut out = format!("## EdgeShift: {}\n", words::summary_line(result));
    for judged in &result.judged {
        section(&mut out, &judged.name, Some(judged), &judged.findings());
    }
    if let Some(settings) = &result.settings {
        section(&mut out, &settings.name, None, &settings.report.findings().collect::<Vec<_>>());
    }
    list(&mut out, "Could not be read", result.rejected.iter().map(rejected));
    list(&mut out, "Not evaluated", words::waiting(result).iter().map(waiting));
    list(&mut out, "Broken rules, a fault of EdgeShift", words::broken(result).iter().map(|line| text(line)));
    list(&mut out, "Suppressed", result.judged.iter().flat_map(suppressed));
    out
}

fn section(out: &mut String, file: &str, judged: Option<&Judged>, findings: &[(&Evaluation, &Finding)]) {
    if findings.is_empty() {
        return;
    }
    let lines: Vec<String> = findings
        .iter()
        .map(|(_, finding)| finding.at.and_then(|at| judged?.place(at)?.start()))
        .map(|start| start.map(|start| start.line.to_string()).unwrap_or_default())
        .collect();
    let _ = writeln!(out, "\n### {}\n", code(file));
    let _ = writeln!(out, "| Severity | Rule | Module | Line | What |\n|---|---|---|--:|---|");
    for ((evaluation, finding), line) in findings.iter().zip(&lines) {
        let module = words::named_module(evaluation).map(code).unwrap_or_default();
        let (severity, rule, message) = (words::severity(finding), link(evaluation.rule), text(&finding.message));
        let _ = writeln!(out, "| {severity} | {rule} | {module} | {line} | {message} |");
    }
    let _ = writeln!(out, "\n<details><summary>Why, and the way out</summary>\n");
    for ((evaluation, finding), line) in findings.iter().zip(&lines) {
        let place = if line.is_empty() { String::new() } else { format!(", line {line}") };
        let _ = writeln!(out, "- **{}**{place}: {}", evaluation.rule, text(&finding.message));
        let _ = writeln!(out, "  - {}", text(&finding.reason));
        if let Some(fix) = &finding.fix {
            let _ = writeln!(out, "  - Fix: {}", text(&words::fix(fix)));
        }
    }
    let _ = writeln!(out, "\n</details>");
}

fn list(out: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n### {title}\n");
    for item in items {
        let _ = writeln!(out, "- {item}");
    }
}

fn rejected(rejected: &Rejected) -> String {
    let Problem { message, place, help } = rejected.problem();
    let place = place.map(|place| format!(", line {}", place.line)).unwrap_or_default();
    let help = help.map(|help| format!(" ({})", text(&help))).unwrap_or_default();
    format!("{}{place}: {}{help}", code(&rejected.name), text(&message))
}

fn waiting(waiting: &Waiting<'_>) -> String {
    let required = if waiting.required { " (required)" } else { "" };
    format!("{}{required}", text(&waiting.rules_and_why()))
}

fn suppressed(judged: &Judged) -> impl Iterator<Item = String> {
    judged.report.evaluations.iter().filter_map(|evaluation| {
        let Outcome::Suppressed(suppressed) = &evaluation.outcome else { return None };
        let Suppressed { reason, until, hidden } = suppressed.as_ref();
        let module = words::named_module(evaluation).map(|id| format!(" in module {}", code(id))).unwrap_or_default();
        let until = until.as_ref().map(|until| format!(" (until {})", text(until))).unwrap_or_default();
        let (rule, findings) = (link(evaluation.rule), words::plural(hidden.len(), "finding"));
        Some(format!("{rule}{module} of {}, {findings}: {}{until}", code(&judged.name), text(reason)))
    })
}

fn link(rule: &str) -> String {
    format!("[{rule}](docs/rules/{rule}.md)")
}

/// A name as code, so that nothing in it has a meaning.
fn code(name: &str) -> String {
    text(&format!("`{name}`"))
}

/// A text on one line in which nothing is Markdown but its code between single backticks, if all of them pair up.
pub(super) fn text(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    let parts: Vec<&str> = text.split('`').collect();
    let is_code = |(i, part): (usize, &&str)| i % 2 == 0 || !part.trim().is_empty() && !part.contains('|');
    let pairs_up = parts.len() % 2 == 1 && parts.iter().enumerate().all(is_code);
    let apart =
        parts.iter().enumerate().all(|(i, part)| i % 2 == 1 || i == 0 || i + 1 == parts.len() || !part.is_empty());
    if !pairs_up || !apart {
        return escaped(&text);
    }
    let part = |(i, part): (usize, &&str)| if i % 2 == 0 { escaped(part) } else { format!("`{part}`") };
    parts.iter().enumerate().map(part).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '|' | '#' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_that_pairs_up_stays_markdown() {
        assert_eq!(text("share `a*b` of <b>\nx|y"), "share `a*b` of &lt;b&gt; x\\|y");
        assert_eq!(text("odd ` one"), "odd \\` one");
        assert_eq!(text("`a``b`"), "\\`a\\`\\`b\\`");
        assert_eq!(text("a ``b`` c"), "a \\`\\`b\\`\\` c");
        assert_eq!(text("`a|b`"), "\\`a\\|b\\`");
        assert_eq!(code("x`<i>"), "\\`x\\`&lt;i&gt;\\`");
    }
}
