//! Symbolic edits made concrete: only the bytes that must change do, so comments, order and layout stay.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::path::{Path, Step};
use super::syntax::{Source, SyntaxError};
use super::tree::{At, Document, Kind};
use super::write::{by_hand, inline, quoted};

/// A change to a document, on paths of the document as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Edit {
    /// Puts `value` at `path`; replaces what is there, makes the objects on the way that are missing.
    Set {
        /// Where.
        #[serde(serialize_with = "path_text")]
        #[schemars(with = "String")]
        path: Path,
        /// What.
        value: Value,
    },
    /// Adds `value` to the end of the array at `path`, which is made if it is missing.
    Append {
        /// The array.
        #[serde(serialize_with = "path_text")]
        #[schemars(with = "String")]
        path: Path,
        /// The new element.
        value: Value,
    },
    /// Removes the member or element at `path`, and the object or array around it if that becomes empty.
    Remove {
        /// What to remove.
        #[serde(serialize_with = "path_text")]
        #[schemars(with = "String")]
        path: Path,
    },
    /// Puts `with` in place of a range of what the string at `path` says. The rest of the string is in no edit, so a
    /// secret there stays where it is.
    Replace {
        /// The string.
        #[serde(serialize_with = "path_text")]
        #[schemars(with = "String")]
        path: Path,
        /// Bytes of the decoded text.
        range: Range<usize>,
        /// The new text.
        with: String,
    },
    /// Gives the member at `path` another key.
    Rename {
        /// The member.
        #[serde(serialize_with = "path_text")]
        #[schemars(with = "String")]
        path: Path,
        /// Its new key.
        key: String,
    },
}

fn path_text<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

/// An edit that does not fit the document.
#[derive(Debug, Error)]
pub enum EditError {
    /// The path leads nowhere, or through a value that is neither object nor array.
    #[error("{path} does not lead to a value that can be changed")]
    NoSuchPlace {
        /// The path as it was asked for.
        path: Path,
    },
    /// Two edits want different things at one place.
    #[error("two changes meet at {path}")]
    Conflict {
        /// The place.
        path: Path,
    },
    /// The edited text is not JSON any more: an internal error, nothing is changed.
    #[error("internal error: the edited text does not parse: {0}")]
    Broken(#[from] Box<SyntaxError>),
}

/// Bytes of a text, and what is put in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// What is taken out; empty where something is only added.
    pub range: Range<usize>,
    /// What is put there; empty where something is only removed.
    pub with: String,
}

/// Applies `edits` to the text of `source`; paths mean the text as it is before any of them.
///
/// # Errors
/// An edit does not fit, or two of them meet. Nothing is applied then.
pub fn apply(source: &Source, edits: &[Edit]) -> Result<String, EditError> {
    let document = Document::parse(source.clone())?;
    let mut text = source.text().to_owned();
    for replacement in replacements(&document, edits)?.into_iter().rev() {
        text.replace_range(replacement.range, &replacement.with);
    }
    Document::parse(Source::new(source.name(), text.as_str()))?;
    Ok(text)
}

/// The bytes of the file that [`apply`] changes, in order and apart from each other. What they put in is what the edits
/// say, never text of the file that stays.
///
/// # Errors
/// An edit does not fit or works inside of a string, or two of them meet.
pub fn replacements(document: &Document, edits: &[Edit]) -> Result<Vec<Replacement>, EditError> {
    conflicts(edits)?;
    let mut holders = Vec::new();
    for edit in edits {
        let holder = holder(document, edit.path());
        holders.push(holder.ok_or_else(|| EditError::NoSuchPlace { path: edit.path().clone() })?);
    }
    // Only the smallest part around all edits is read again after each, not the file.
    let Some(mut part) = holders.into_iter().reduce(common_holder) else { return Ok(Vec::new()) };
    let layout = Layout::of(document);
    loop {
        match (in_part(part, edits, &layout), part.parent()) {
            (made, None) => return made.map(|(_, replacements)| replacements),
            // What is empty now goes itself, with what is around it.
            (Ok((text, replacements)), Some(_)) if !["{}", "[]"].contains(&text.trim()) => return Ok(replacements),
            (_, Some(around)) => part = around,
        }
    }
}

/// The object or array in the file in which an edit at `path` works; none where the way leads into a string.
fn holder<'d>(document: &'d Document, path: &Path) -> Option<At<'d>> {
    let (_, way) = path.steps().split_last().unwrap_or((&Step::Index(0), &[]));
    let mut at = document.root();
    for step in way {
        let next = match step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => at.item(*index),
        };
        match next {
            Some(next) if matches!(next.kind(), Kind::Object | Kind::Array) => at = next,
            Some(_) => return None,
            None => break,
        }
    }
    Some(at)
}

fn common_holder<'d>(a: At<'d>, b: At<'d>) -> At<'d> {
    let mut around = Some(a);
    while let Some(at) = around {
        if b.path().below(&at.path()).is_some() {
            return at;
        }
        around = at.parent();
    }
    a.document().root()
}

/// `edits` made in the text of `part`, after the blanks of its first line, and as replacements of bytes of the file.
fn in_part(part: At<'_>, edits: &[Edit], layout: &Layout) -> Result<(String, Vec<Replacement>), EditError> {
    let document = part.document();
    let own = range(document, part.span());
    let base = part.path();
    let name = document.source().name();
    let mut text = indent_of(document, own.start) + part.raw();
    let start = own.end - text.len();
    let edits: Vec<Edit> = edits.iter().filter_map(|edit| edit.below(&base)).collect();
    let mut done = Vec::new();
    for edit in in_order(&edits) {
        let document = Document::parse(Source::new(name, text.as_str()))?;
        let next = splice(&document, edit, layout)?;
        text.replace_range(next.range.clone(), &next.with);
        done = composed(done, next);
    }
    let in_file = |r: Replacement| Replacement { range: start + r.range.start..start + r.range.end, ..r };
    Ok((text, done.into_iter().map(in_file).collect()))
}

/// Whatever takes away comes last and from the end, so that every path still means what it meant.
fn in_order(edits: &[Edit]) -> Vec<&Edit> {
    let (mut removals, mut order): (Vec<&Edit>, Vec<&Edit>) =
        edits.iter().partition(|edit| matches!(edit, Edit::Remove { .. }));
    removals.sort_by(|a, b| compare(b.path(), a.path()));
    // Of one string the last range comes first, for the same reason.
    order.sort_by_key(|edit| match edit {
        Edit::Replace { range, .. } => std::cmp::Reverse(range.start),
        _ => std::cmp::Reverse(0),
    });
    order.extend(removals);
    order
}

/// How a document is laid out.
struct Layout {
    one_line: bool,
    /// One level of indentation.
    unit: String,
    newline: &'static str,
}

impl Layout {
    fn of(document: &Document) -> Self {
        let text = document.source().text();
        let newline = text.find('\n').map_or("", |at| &text[at.saturating_sub(1)..at]);
        Self {
            one_line: !text.trim().contains('\n'),
            unit: unit(document),
            newline: if newline == "\r" { "\r\n" } else { "\n" },
        }
    }

    /// `value` as the rest of the document is laid out, after the first line indented by `indent`.
    fn written(&self, value: &Value, indent: &str) -> String {
        if self.one_line { inline(value) } else { by_hand(value, indent, &self.unit) }
    }
}

/// `done`, replacements of a source, and then `next`, one of the text that they make, as replacements of the source.
fn composed(done: Vec<Replacement>, next: Replacement) -> Vec<Replacement> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    // Where `next` starts and ends in the source, and what it leaves of the replacements that it meets.
    let (mut start, mut end) = (None, None);
    let (mut head, mut tail) = (String::new(), String::new());
    // The start of the stretch between two replacements, in the source and in the text that they make.
    let (mut in_source, mut in_text) = (0, 0);
    for replacement in done {
        let from = in_text + replacement.range.start - in_source;
        let to = from + replacement.with.len();
        let source_of = |offset: usize| in_source + offset - in_text;
        let behind = replacement.range.end;
        if to < next.range.start {
            before.push(replacement);
        } else if from > next.range.end {
            start.get_or_insert_with(|| source_of(next.range.start));
            end.get_or_insert_with(|| source_of(next.range.end));
            after.push(replacement);
        } else {
            if from <= next.range.start {
                replacement.with[..next.range.start - from].clone_into(&mut head);
                start = Some(replacement.range.start);
            } else {
                start.get_or_insert_with(|| source_of(next.range.start));
            }
            if to >= next.range.end {
                replacement.with[next.range.end - from..].clone_into(&mut tail);
                end = Some(replacement.range.end);
            }
        }
        (in_source, in_text) = (behind, to);
    }
    let source_of = |offset: usize| in_source + offset - in_text;
    let start = start.unwrap_or_else(|| source_of(next.range.start));
    let end = end.unwrap_or_else(|| source_of(next.range.end));
    before.push(Replacement { range: start..end, with: [head, next.with, tail].concat() });
    before.extend(after);
    before
}

impl Edit {
    /// Where the edit works.
    pub fn path(&self) -> &Path {
        match self {
            Edit::Set { path, .. }
            | Edit::Append { path, .. }
            | Edit::Remove { path }
            | Edit::Replace { path, .. }
            | Edit::Rename { path, .. } => path,
        }
    }

    /// The same edit with its path below `prefix`, or `None` if it works elsewhere.
    pub fn below(&self, prefix: &Path) -> Option<Edit> {
        let mut edit = self.clone();
        let (Edit::Set { path, .. }
        | Edit::Append { path, .. }
        | Edit::Remove { path }
        | Edit::Replace { path, .. }
        | Edit::Rename { path, .. }) = &mut edit;
        *path = path.below(prefix)?;
        Some(edit)
    }
}

fn conflicts(edits: &[Edit]) -> Result<(), EditError> {
    for (i, a) in edits.iter().enumerate() {
        for b in &edits[i + 1..] {
            let apart = match (a, b) {
                (Edit::Append { .. }, Edit::Append { .. }) => true,
                (Edit::Replace { range: a, .. }, Edit::Replace { range: b, .. }) => {
                    a.end <= b.start || b.end <= a.start
                }
                _ => false,
            };
            let removes = matches!(a, Edit::Remove { .. }) && b.path().below(a.path()).is_some()
                || matches!(b, Edit::Remove { .. }) && a.path().below(b.path()).is_some();
            if a != b && !apart && (removes || a.path() == b.path()) {
                return Err(EditError::Conflict { path: a.path().clone() });
            }
        }
    }
    Ok(())
}

/// Document order as far as paths show it: indices by number, keys by name.
fn compare(a: &Path, b: &Path) -> std::cmp::Ordering {
    let rank = |step: &Step| match step {
        Step::Index(index) => (0, *index, String::new()),
        Step::Key(key) => (1, 0, key.clone()),
    };
    a.steps().iter().map(rank).cmp(b.steps().iter().map(rank))
}

fn splice(document: &Document, edit: &Edit, layout: &Layout) -> Result<Replacement, EditError> {
    let nowhere = || EditError::NoSuchPlace { path: edit.path().clone() };
    match edit {
        Edit::Set { path, value } => set(document, path, value, layout).ok_or_else(nowhere),
        Edit::Append { path, value } => match document.find(path) {
            Some(array) if array.kind() == Kind::Array => Ok(insert(document, array, None, value, layout)),
            Some(_) => Err(nowhere()),
            None => set(document, path, &Value::from(vec![value.clone()]), layout).ok_or_else(nowhere),
        },
        Edit::Remove { path } => Ok(remove(document, document.find(path).ok_or_else(nowhere)?)),
        Edit::Replace { path, range: part, with } => {
            let at = document.find(path).ok_or_else(nowhere)?;
            let fits = at.as_str().is_some_and(|text| text.get(part.clone()).is_some());
            let escaped = quoted(with);
            fits.then(|| replace(range(document, at.part(part.clone())), &escaped[1..escaped.len() - 1]))
                .ok_or_else(nowhere)
        }
        Edit::Rename { path, key } => {
            let at = document.find(path).filter(|at| at.key().is_some()).ok_or_else(nowhere)?;
            Ok(replace(range(document, at.key_span()), &quoted(key)))
        }
    }
}

fn set(document: &Document, path: &Path, value: &Value, layout: &Layout) -> Option<Replacement> {
    if let Some(at) = document.find(path) {
        let indent = indent_of(document, range(document, at.span()).start);
        let text = layout.written(value, &indent);
        return Some(replace(range(document, at.span()), &text));
    }
    // The deepest value that is there must be an object; what is missing below it is made in one go.
    let steps = path.steps();
    let depth = (0..steps.len()).rev().find(|n| document.find(&Path::new(steps[..*n].to_vec())).is_some())?;
    let parent = document.find(&Path::new(steps[..depth].to_vec()))?;
    let Step::Key(key) = &steps[depth] else { return None };
    let value = steps[depth + 1..].iter().rev().try_fold(value.clone(), |value, step| match step {
        Step::Key(key) => Some(Value::Object([(key.clone(), value)].into_iter().collect())),
        Step::Index(0) => Some(Value::Array(vec![value])),
        Step::Index(_) => None,
    })?;
    (parent.kind() == Kind::Object).then(|| insert(document, parent, Some(key), &value, layout))
}

/// Adds a member or an element after the last one, laid out like it.
fn insert(document: &Document, parent: At<'_>, key: Option<&str>, value: &Value, layout: &Layout) -> Replacement {
    let text = document.source().text();
    let whole = range(document, parent.span());
    let last = if parent.kind() == Kind::Array { parent.items().next_back() } else { parent.members().next_back() };
    let label = key.map(|key| format!("{}: ", quoted(key))).unwrap_or_default();
    let Some(last) = last else {
        let value = layout.written(value, &indent_of(document, whole.start));
        let filled = if key.is_some() { format!("{{ {label}{value} }}") } else { format!("[{value}]") };
        return replace(whole, &filled);
    };
    let last = range(document, last.member_span());
    let indent = indent_of(document, last.start);
    let own_line = text[whole.start..last.start].contains('\n');
    let value = layout.written(value, &indent);
    let after_comma = text[last.end..whole.end].trim_start().starts_with(',');
    let at = if after_comma { last.end + text[last.end..].find(',').map_or(0, |i| i + 1) } else { last.end };
    let comma = if after_comma { "" } else { "," };
    let gap = if own_line { format!("{}{indent}", layout.newline) } else { " ".to_owned() };
    replace(at..at, &format!("{comma}{gap}{label}{value}"))
}

fn remove(document: &Document, at: At<'_>) -> Replacement {
    let siblings: Vec<At<'_>> = match at.parent() {
        Some(parent) if parent.kind() == Kind::Array => parent.items().collect(),
        Some(parent) => parent.members().collect(),
        None => return replace(range(document, at.span()), ""),
    };
    let own = range(document, at.member_span());
    let index = siblings.iter().position(|sibling| sibling.id() == at.id()).unwrap_or_default();
    if let Some(next) = siblings.get(index + 1) {
        return replace(own.start..range(document, next.member_span()).start, "");
    }
    if index > 0 {
        return replace(range(document, siblings[index - 1].member_span()).end..own.end, "");
    }
    match at.parent() {
        Some(parent) if parent.parent().is_some() => remove(document, parent),
        Some(parent) => replace(range(document, parent.span()), if at.key().is_some() { "{}" } else { "[]" }),
        None => replace(range(document, at.span()), ""),
    }
}

fn range(document: &Document, span: super::Span) -> Range<usize> {
    let ranges = document.ranges(span);
    ranges.first().map_or(0, |r| r.start)..ranges.last().map_or(0, |r| r.end)
}

fn replace(range: Range<usize>, with: &str) -> Replacement {
    Replacement { range, with: with.to_owned() }
}

/// The blanks at the start of the line of `offset`.
fn indent_of(document: &Document, offset: usize) -> String {
    let text = document.source().text();
    let start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
    text[start..].chars().take_while(|c| *c == ' ' || *c == '\t').collect()
}

/// One level of indentation of this document: what its members have more than its last line.
fn unit(document: &Document) -> String {
    let whole = range(document, document.root().span());
    let first = document.root().members().next().map(|member| range(document, member.member_span()).start);
    let inner = first.map(|at| indent_of(document, at)).unwrap_or_default();
    let outer = indent_of(document, whole.end.saturating_sub(1));
    let unit = inner.strip_prefix(&outer).unwrap_or_default();
    if unit.is_empty() { "  ".to_owned() } else { unit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(text: &str) -> Path {
        text.split('/').fold(Path::default(), |path, step| match step.parse() {
            Ok(index) => path.index(index),
            Err(_) => path.key(step),
        })
    }

    fn edited(text: &str, edits: &[Edit]) -> String {
        let source = Source::new("t", text);
        let edited = apply(&source, edits).unwrap();
        let mut by_bytes = text.to_owned();
        for replacement in replacements(&Document::parse(source).unwrap(), edits).unwrap().into_iter().rev() {
            by_bytes.replace_range(replacement.range, &replacement.with);
        }
        assert_eq!(by_bytes, edited);
        edited
    }

    #[test]
    fn replacements_are_bytes_of_the_source_and_repeat_none_of_it() {
        // The bind goes, and with it the list, the only member; what was added beside it stays.
        let source = Source::new("t", r#"{"HostConfig": {"Binds": ["/a:/b"]}, "Env": ["S=secret"]}"#);
        let edits = [
            Edit::Remove { path: path("HostConfig/Binds/0") },
            Edit::Append { path: path("HostConfig/Mounts"), value: json!(1) },
            Edit::Append { path: path("Env"), value: json!("X=1") },
        ];
        let found = replacements(&Document::parse(source.clone()).unwrap(), &edits).unwrap();
        let found: Vec<_> = found.iter().map(|r| (&source.text()[r.range.clone()], r.with.as_str())).collect();
        assert_eq!(found, [(r#""Binds": ["/a:/b"]"#, r#""Mounts": [1]"#), ("", r#", "X=1""#)]);
        edited(source.text(), &edits);
    }

    #[test]
    fn replacements_that_meet_become_one() {
        let of = |range, with: &str| Replacement { range, with: with.to_owned() };
        for (first, then) in [
            (vec![of(2..4, "xy"), of(6..6, "z")], of(3..7, "Q")),
            (vec![of(2..4, ""), of(6..8, "abcdef")], of(2..3, "Q")),
            (vec![of(2..4, "abcdef"), of(8..9, "")], of(3..5, "")),
            (vec![of(2..4, "abcdef"), of(8..9, "")], of(9..9, "Q")),
            (vec![of(2..2, "ab")], of(0..10, "")),
            (vec![of(5..5, "ab")], of(5..5, "Q")),
            (vec![of(5..5, "ab")], of(7..7, "Q")),
            (vec![of(5..6, "ab")], of(1..2, "Q")),
            (vec![of(1..2, "ab")], of(6..8, "Q")),
        ] {
            let apply = |text: &str, all: &[Replacement]| {
                let mut text = text.to_owned();
                for replacement in all.iter().rev() {
                    text.replace_range(replacement.range.clone(), &replacement.with);
                }
                text
            };
            let source = "0123456789";
            let expected = apply(&apply(source, &first), std::slice::from_ref(&then));
            let all = composed(first.clone(), then.clone());
            assert!(all.windows(2).all(|two| two[0].range.end < two[1].range.start), "{all:?}");
            assert_eq!(apply(source, &all), expected, "{first:?} and then {then:?}");
        }
    }

    #[test]
    fn a_bind_moves_to_mounts_and_the_empty_list_goes() {
        let text =
            "{\n  // keep me\n  \"HostConfig\": {\n    \"Binds\": [\"/a:/b\"],\n    \"Privileged\": true\n  }\n}\n";
        let edits = [
            Edit::Remove { path: path("HostConfig/Binds/0") },
            Edit::Append {
                path: path("HostConfig/Mounts"),
                value: json!({"Type": "bind", "Source": "/a", "Target": "/b"}),
            },
        ];
        assert_eq!(
            edited(text, &edits),
            "{\n  // keep me\n  \"HostConfig\": {\n    \"Privileged\": true,\n    \"Mounts\": [{ \"Type\": \"bind\", \"Source\": \"/a\", \"Target\": \"/b\" }]\n  }\n}\n"
        );
    }

    #[test]
    fn removals_mean_the_document_as_it_was() {
        let edits = [Edit::Remove { path: path("a/0") }, Edit::Remove { path: path("a/2") }];
        assert_eq!(edited(r#"{"a": [1, 2, 3]}"#, &edits), r#"{"a": [2]}"#);
    }

    #[test]
    fn parts_of_a_string_change_and_the_rest_stays() {
        let part = |range, with: &str| Edit::Replace { path: path("a/0"), range, with: with.to_owned() };
        let edits = [part(0..3, "a__\""), part(6..6, ":80"), Edit::Remove { path: path("a/1") }];
        assert_eq!(edited(r#"{"a": ["a:\u0062=cd", 2]}"#, &edits), r#"{"a": ["a__\"=cd:80"]}"#);
        let source = Source::new("t", r#"{"a": ["a:b"]}"#);
        assert!(apply(&source, &[part(0..3, "x"), part(2..3, "y")]).is_err());
        assert!(apply(&source, &[part(2..9, "x")]).is_err());
    }

    #[test]
    fn missing_parents_are_made() {
        let edits = [Edit::Set { path: path("k8s-experimental/strategy/type"), value: json!("Recreate") }];
        assert_eq!(edited("{}", &edits), r#"{ "k8s-experimental": { "strategy": { "type": "Recreate" } } }"#);
    }

    #[test]
    fn a_trailing_comma_is_not_doubled() {
        let edits = [Edit::Set { path: path("b"), value: json!(1) }];
        assert_eq!(edited("{\n\t\"a\": 0,\n}", &edits), "{\n\t\"a\": 0,\n\t\"b\": 1\n}");
    }

    #[test]
    fn changes_that_meet_are_refused() {
        let edits = [Edit::Remove { path: path("a") }, Edit::Set { path: path("a/b"), value: json!(1) }];
        let error = apply(&Source::new("t", r#"{"a": {"b": 0}}"#), &edits).unwrap_err();
        assert!(error.to_string().contains("two changes meet"), "{error}");
    }

    #[test]
    fn a_place_that_is_not_there_is_an_error() {
        let edits = [Edit::Remove { path: path("x") }];
        assert!(matches!(apply(&Source::new("t", "{}"), &edits), Err(EditError::NoSuchPlace { .. })));
    }
}
