//! A fix as the lines that it removes and adds.

use std::fmt::Write;
use std::ops::Range;

use anstyle::{AnsiColor, Style as Paint};
use similar::{ChangeTag, TextDiff};

use super::Style;
use crate::manifest::{Form, Manifest};
use crate::text::{At, Edit, Path, Source, Step, apply, pretty};

/// Lines longer than this are not shown whole: the JSON is written out instead.
const READABLE_LINE: usize = 160;

/// The lines that a fix touches, before and after.
pub(super) struct View {
    label: String,
    lines: Vec<Line>,
}

/// One line of a [`View`], with its number in the text that it belongs to.
struct Line {
    tag: ChangeTag,
    number: usize,
    text: String,
}

impl View {
    /// The view as text, under its label.
    pub(super) fn draw(&self, style: Style) -> String {
        let width = self.lines.iter().map(|line| line.number).max().unwrap_or_default().to_string().len();
        let mut out = format!("{:width$}--> {}\n{:width$} |\n", "", self.label, "");
        for line in &self.lines {
            let (sign, colour) = match line.tag {
                ChangeTag::Equal => (' ', None),
                ChangeTag::Delete => ('-', Some(AnsiColor::BrightRed)),
                ChangeTag::Insert => ('+', Some(AnsiColor::BrightGreen)),
            };
            let paint = colour.filter(|_| style.colour).map_or(Paint::new(), AnsiColor::on_default);
            let Line { number, text, .. } = line;
            let _ = writeln!(out, "{paint}{number:width$} {sign} {text}{paint:#}");
        }
        out
    }
}

/// What `edits` do to `manifest`: one view for each part of the document that they touch. Empty where they do not
/// fit, which a test of every rule rules out.
pub(super) fn views(manifest: &Manifest, edits: &[Edit]) -> Vec<View> {
    let mut parts: Vec<(At<'_>, Vec<Edit>)> = Vec::new();
    for edit in edits {
        let part = part(manifest, edit);
        match parts.iter_mut().find(|(at, _)| at.id() == part.id()) {
            Some((_, edits)) => edits.push(edit.clone()),
            None => parts.push((part, vec![edit.clone()])),
        }
    }
    parts.into_iter().filter_map(|(part, edits)| view(part, &edits)).collect()
}

/// The part of the document in which an edit is shown: the createOptions that it is about, else what surrounds it, as
/// far as that can be read.
fn part<'m>(manifest: &'m Manifest, edit: &Edit) -> At<'m> {
    let path = edit.path();
    let deepest = |mut length: usize| loop {
        match manifest.document().find(&Path::new(path.steps()[..length].to_vec())) {
            Some(at) => return at.opened(),
            None => length -= 1,
        }
    };
    match options_depth(path) {
        _ if manifest.form() == Form::CreateOptions => deepest(0),
        Some(depth) => deepest(depth),
        None => {
            let around = deepest(path.steps().len().saturating_sub(2));
            // With its last member an object goes too.
            let narrow = !matches!(edit, Edit::Remove { .. }) && lines_in_file(around).is_none();
            if narrow { deepest(path.steps().len().saturating_sub(1)) } else { around }
        }
    }
}

/// How many steps lead to the createOptions on the way of `path`.
fn options_depth(path: &Path) -> Option<usize> {
    let is_options = |step: &Step| matches!(step, Step::Key(key) if key.eq_ignore_ascii_case("createOptions"));
    path.steps().iter().position(is_options).map(|at| at + 1)
}

/// `: createOptions of m` where that is what `path` leads to, nothing for a whole document.
fn title(path: &Path) -> String {
    match path.steps() {
        [] => String::new(),
        [.., Step::Key(module), Step::Key(settings), Step::Key(last)] if settings == "settings" => {
            format!(": {last} of {module}")
        }
        _ => format!(": {path}"),
    }
}

/// A text in which edits are shown.
struct Shown {
    before: String,
    /// The part that the edits are about.
    own: Range<usize>,
    first_line: usize,
    /// `None` where the lines are those of the file.
    label: Option<String>,
}

fn view(part: At<'_>, edits: &[Edit]) -> Option<View> {
    let document = part.document();
    let base = part.path();
    let edits: Vec<Edit> = edits.iter().filter_map(|edit| edit.below(&base)).collect();
    let name = document.source().name();
    let shown = if let Some((window, own)) = lines_in_file(part) {
        let first_line = document.source().position(window.start).line;
        Shown { before: document.source().text()[window].to_owned(), own, first_line, label: None }
    } else {
        let text = pretty(part);
        let label = Some(format!("{name}{}, written out", title(&base)));
        Shown { own: 0..text.len(), before: text, first_line: 1, label }
    };
    let Shown { before, own, first_line, label } = shown;
    let after = apply(&Source::new(name, &before[own.clone()]), &edits).ok()?;
    let after = [&before[..own.start], &after, &before[own.end..]].concat();
    let lines = changed_lines(&before, &after, first_line);
    let number = lines.first()?.number;
    let label = label.unwrap_or_else(|| format!("{name}:{number}"));
    Some(View { label, lines })
}

/// The whole lines of `part` in the file, and where in them it stands; `None` where it is in a string, or in lines too
/// long to read.
fn lines_in_file(part: At<'_>) -> Option<(Range<usize>, Range<usize>)> {
    let source = part.document().source();
    let text = source.text();
    let ranges = part.document().ranges(part.span());
    let [own] = ranges.as_slice() else { return None };
    if !std::ptr::eq(part.document().layer_text(part.span()), text) {
        return None;
    }
    let start = text[..own.start].rfind('\n').map_or(0, |i| i + 1);
    let end = text[own.end..].find('\n').map_or(text.len(), |i| own.end + i);
    let readable = text[start..end].lines().all(|line| line.len() <= READABLE_LINE);
    readable.then(|| (start..end, own.start - start..own.end - start))
}

/// The lines that differ, with one line around them.
fn changed_lines(before: &str, after: &str, first_line: usize) -> Vec<Line> {
    // The end of the text is no change.
    let (before, after) = (format!("{before}\n"), format!("{after}\n"));
    let diff = TextDiff::from_lines(before.as_str(), after.as_str());
    let changes = diff.grouped_ops(1).into_iter().flatten();
    let lines = changes.flat_map(|op| diff.iter_changes(&op).collect::<Vec<_>>()).map(|change| {
        // Around a change the numbers are those that the lines will have.
        let index = match change.tag() {
            ChangeTag::Delete => change.old_index(),
            ChangeTag::Equal | ChangeTag::Insert => change.new_index(),
        };
        let index = index.unwrap_or_default();
        Line { tag: change.tag(), number: first_line + index, text: change.value().trim_end().to_owned() }
    });
    lines.collect()
}
