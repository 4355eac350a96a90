//! The rules for people: their list and their pages.

use std::fmt::Write;

use crate::engine::Rule;

/// All rules, one a line.
pub fn table(rules: &[&Rule]) -> String {
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    let mut out = String::new();
    for rule in rules {
        let _ = writeln!(
            out,
            "{:width$}  {:6}  {:4}  {:23}  {}",
            rule.id,
            rule.severity.word(),
            rule.fix.word(),
            rule.codes.join(" "),
            rule.title(),
        );
    }
    out
}

/// The page of a rule with what it declares.
pub fn page(rule: &Rule) -> String {
    let targets: Vec<&str> = rule.targets.iter().map(|target| target.word()).collect();
    let body = rule.page.lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
    // The tags of examples are for the test that runs them.
    let body = body.map(|line| if line.starts_with("```json,") { "```json" } else { line });
    let mut lines = body.skip_while(|line| line.is_empty());
    let mut out = String::new();
    let _ = writeln!(out, "{}\n", lines.next().unwrap_or_default());
    let _ = writeln!(
        out,
        "`{}` · {} · severity {} · fix {} · targets {}",
        rule.id,
        rule.codes.join(", "),
        rule.severity.word(),
        rule.fix.word(),
        targets.join(", "),
    );
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\n## Source\n\n{}.", rule.source.trim_end_matches('.'));
    out
}

/// What the page of a rule says first, on one line.
pub(in crate::output) fn first_paragraph(rule: &Rule) -> String {
    let lines = rule.page.lines().map(str::trim).skip_while(|line| line.is_empty() || line.starts_with('#'));
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
