//! The pages of the rules as files of documentation (`docs/rules/`), and their index.

use std::fmt::Write;

use super::markdown;
use super::text::page;
use crate::engine::Rule;

/// File names and texts: `README.md`, the index, and a page for each of `rules`.
pub fn files(rules: &[&Rule]) -> Vec<(String, String)> {
    let page = |rule: &&Rule| (format!("{}.md", rule.id), format!("{}\n[All rules](README.md)\n", page(rule)));
    std::iter::once(("README.md".to_owned(), index(rules))).chain(rules.iter().map(page)).collect()
}

/// The rules by family, in the order of reports.
fn index(rules: &[&Rule]) -> String {
    let mut out =
        "# Rules\n\nMade from the doc comments in `src/rules` (`EDGESHIFT_UPDATE=1 cargo test --test generated`); \
                   `edgeshift explain RULE` shows the same pages.\n"
            .to_owned();
    for family in rules.chunk_by(|a, b| a.family() == b.family()) {
        let name = family.first().map(|rule| rule.family()).unwrap_or_default();
        let _ = writeln!(out, "\n## {name}\n\n| Rule | Severity | Fix | Codes | Title |\n|---|---|---|---|---|");
        for rule in family {
            let (id, severity, fix) = (rule.id, rule.severity.word(), rule.fix.word());
            let (codes, title) = (rule.codes.join(", "), markdown::text(rule.title()));
            let _ = writeln!(out, "| [{id}]({id}.md) | {severity} | {fix} | {codes} | {title} |");
        }
    }
    out
}
