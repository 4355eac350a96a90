//! Frames as rustc draws them: the offending bytes underlined, the reason, the fix.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Snippet};

use super::patch;
use super::{Judged, Style, words};
use crate::finding::{Finding, Severity};
use crate::manifest::Manifest;
use crate::report::{Evaluation, Report};
use crate::text::{Source, Span, SyntaxError};

/// Every finding of `judged`, in the order of the file.
pub(super) fn findings(judged: &Judged, style: Style) -> String {
    let Some(manifest) = judged.manifest() else { return without_document(&judged.report, style) };
    let found = judged.findings();
    let shown: Vec<Span> =
        found.iter().flat_map(|(_, f)| f.at.into_iter().chain(f.related.iter().map(|r| r.at))).collect();
    let source = manifest.masked(&shown);
    let masked = Manifest::read(&source).ok();
    let draw = |(evaluation, finding): &(&Evaluation, &Finding)| {
        draw(evaluation, finding, manifest, &source, masked.as_ref(), style)
    };
    found.iter().map(draw).collect()
}

/// Findings about what was not written in a document.
pub(super) fn without_document(report: &Report, style: Style) -> String {
    report.findings().map(|(evaluation, finding)| without_place(evaluation, finding, style)).collect()
}

/// A document that is not JSON.
pub(super) fn syntax(source: &Source, error: &SyntaxError, style: Style) -> String {
    let mut group =
        Level::ERROR.primary_title(error.message.as_str()).elements(Vec::<Snippet<'_, Annotation<'_>>>::new());
    let masked = source.masked(&error.values);
    let mut marks: Vec<Mark<'_>> = error.at.iter().map(|range| Mark::primary(range.clone(), "")).collect();
    marks.extend(
        error.notes.iter().flat_map(|note| note.at.iter().map(|range| Mark::context(range.clone(), &note.label))),
    );
    for snippet in snippets(&masked, &marks, style) {
        group = group.element(snippet);
    }
    if marks.is_empty() {
        group = group.element(Level::NOTE.message(format!("in {}", source.name())));
    }
    if let Some(help) = &error.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    finished(&[group], style)
}

struct Mark<'a> {
    range: Range<usize>,
    label: &'a str,
    kind: AnnotationKind,
}

impl<'a> Mark<'a> {
    fn primary(range: Range<usize>, label: &'a str) -> Self {
        Self { range, label, kind: AnnotationKind::Primary }
    }

    fn context(range: Range<usize>, label: &'a str) -> Self {
        Self { range, label, kind: AnnotationKind::Context }
    }
}

fn draw(
    evaluation: &Evaluation,
    finding: &Finding,
    manifest: &Manifest,
    source: &Source,
    masked: Option<&Manifest>,
    style: Style,
) -> String {
    let document = manifest.document();
    let mut marks = Vec::new();
    for (i, range) in finding.at.iter().flat_map(|at| document.ranges(*at)).enumerate() {
        marks.push(Mark::primary(range, if i == 0 { &finding.label } else { "" }));
    }
    for related in &finding.related {
        marks.extend(document.ranges(related.at).into_iter().map(|range| Mark::context(range, &related.label)));
    }
    let mut group = title(evaluation, finding);
    for snippet in snippets(source, &marks, style) {
        group = group.element(snippet);
    }
    group = notes(group, evaluation, finding);
    let Some(fix) = &finding.fix else { return finished(&[group], style) };
    let views = masked.map(|masked| patch::views(masked, &fix.edits)).unwrap_or_default();
    if views.is_empty() {
        let group = group.element(Level::HELP.message(words::fix(fix)));
        return finished(&[group], style);
    }
    let help = Level::HELP.secondary_title(words::fix(fix));
    let mut out = finished(&[group, help.elements(Vec::<Snippet<'_, Annotation<'_>>>::new())], style);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out.extend(views.iter().map(|view| view.draw(style)));
    out.push('\n');
    out
}

fn without_place(evaluation: &Evaluation, finding: &Finding, style: Style) -> String {
    let mut group = notes(title(evaluation, finding), evaluation, finding);
    if let Some(fix) = &finding.fix {
        group = group.element(Level::HELP.message(fix.title.as_str()));
    }
    finished(&[group], style)
}

fn title<'a>(evaluation: &Evaluation, finding: &'a Finding) -> Group<'a> {
    let level = match finding.severity {
        Severity::Block | Severity::Silent => Level::ERROR,
        Severity::Warn => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.with_name(words::severity(finding)).primary_title(finding.message.as_str()).id(evaluation.rule);
    title.elements(Vec::<Snippet<'_, Annotation<'_>>>::new())
}

fn notes<'a>(group: Group<'a>, evaluation: &Evaluation, finding: &'a Finding) -> Group<'a> {
    let reason = match words::named_module(evaluation) {
        Some(id) => format!("module `{id}`: {}", finding.reason),
        None => finding.reason.clone(),
    };
    group.element(Level::NOTE.message(reason))
}

/// The lines around `marks`, one snippet for each stretch of the text: a snippet is drawn from its own lines only, so
/// the cost of a frame does not grow with the file.
fn snippets<'a>(source: &'a Source, marks: &[Mark<'a>], style: Style) -> Vec<Snippet<'a, Annotation<'a>>> {
    let text = source.text();
    let window = |range: &Range<usize>| {
        let start = text[..range.start].rfind('\n').map_or(0, |i| i + 1);
        let end = text[range.end..].find('\n').map_or(text.len(), |i| range.end + i);
        // The `\r` of a line end is no character to show.
        start..end - usize::from(end > range.end && text[..end].ends_with('\r'))
    };
    let mut stretches: Vec<(Range<usize>, Vec<&Mark<'a>>)> = Vec::new();
    let mut ordered: Vec<&Mark<'a>> = marks.iter().collect();
    ordered.sort_by_key(|mark| mark.range.start);
    for mark in ordered {
        let lines = window(&mark.range);
        match stretches.last_mut() {
            Some((last, marks)) if lines.start <= last.end + 1 + usize::from(text[last.end..].starts_with('\r')) => {
                last.end = last.end.max(lines.end);
                marks.push(mark);
            }
            _ => stretches.push((lines, vec![mark])),
        }
    }
    let primary_first = |(_, marks): &(Range<usize>, Vec<&Mark<'a>>)| {
        !marks.iter().any(|mark| matches!(mark.kind, AnnotationKind::Primary))
    };
    stretches.sort_by_key(primary_first);
    stretches.into_iter().map(|(lines, marks)| snippet(source, lines, &marks, style)).collect()
}

fn snippet<'a>(
    source: &'a Source,
    lines: Range<usize>,
    marks: &[&Mark<'a>],
    style: Style,
) -> Snippet<'a, Annotation<'a>> {
    let text = source.text();
    let first = source.position(lines.start).line;
    let annotations = marks.iter().map(|mark| {
        let (start, end) = (mark.range.start - lines.start, mark.range.end - lines.start);
        // Several lines underlined say less than the first one.
        let end = text[mark.range.clone()].find('\n').map_or(end, |i| start + i).max(start);
        let label = (!mark.label.is_empty() && style.width > 0).then_some(mark.label);
        mark.kind.span(start..end).label(label)
    });
    Snippet::source(&text[lines.clone()]).line_start(first).path(source.name()).annotations(annotations)
}

fn finished(groups: &[Group<'_>], style: Style) -> String {
    format!("{}\n\n", style.renderer().render(groups))
}
