//! What is wrong with a text that is not JSON, said at the place where a person has to put the cursor.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use jsonc_parser::errors::{ParseError, ParseErrorKind};

use super::lines::{Lines, Position};
use super::scan::{Scan, scan, values};

/// A named text and its lines.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Found when somebody asks for a line.
    lines: Arc<OnceLock<Lines>>,
}

impl Source {
    /// A text as it was read; `name` is shown to people (a file name, `<stdin>`).
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), lines: Arc::default() }
    }

    /// The name shown to people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text, byte order mark included.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The text with `ranges` overwritten by as many `*` as they have bytes.
    #[must_use]
    pub fn masked(&self, ranges: &[Range<usize>]) -> Source {
        let mut text = self.text.as_bytes().to_vec();
        ranges.iter().cloned().flatten().filter(|i| *i < self.text.len()).for_each(|i| text[i] = b'*');
        // Whole characters are overwritten, with ASCII: the text stays UTF-8.
        Source::new(self.name.as_ref(), String::from_utf8(text).unwrap_or_default())
    }

    /// Line and column of byte `offset`.
    pub fn position(&self, offset: usize) -> Position {
        self.lines.get_or_init(|| Lines::of(&self.text)).position(&self.text, offset)
    }
}

/// A text that is not JSON: one error, one place.
#[derive(Debug, Clone)]
pub struct SyntaxError {
    /// What is wrong, with the line and column of everything it speaks of.
    pub message: String,
    /// The bytes of the file at fault.
    pub at: Vec<Range<usize>>,
    /// Other places worth seeing.
    pub notes: Vec<SyntaxNote>,
    /// The way out, where one is known.
    pub help: Option<String>,
    /// Every range of the file that could be a value of the text at fault, and so could be a secret.
    pub values: Vec<Range<usize>>,
}

/// A second place of a [`SyntaxError`].
#[derive(Debug, Clone)]
pub struct SyntaxNote {
    /// The bytes of the file.
    pub at: Vec<Range<usize>>,
    /// What is there.
    pub label: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Translates offsets of the text that was parsed (perhaps decoded out of strings) to the file.
pub(super) struct Places<'a> {
    pub(super) file: &'a Source,
    pub(super) map: &'a dyn Fn(Range<usize>) -> Vec<Range<usize>>,
}

impl Places<'_> {
    fn position(&self, offset: usize) -> Position {
        let outer = (self.map)(offset..offset).first().map_or(self.file.text().len(), |range| range.start);
        self.file.position(outer)
    }
}

/// The error of a text longer than `limit` bytes.
pub(super) fn too_long(bytes: usize, limit: usize) -> SyntaxError {
    SyntaxError {
        message: format!("the text has {bytes} bytes, more than {limit} are not read"),
        at: Vec::new(),
        notes: Vec::new(),
        help: Some("a deployment has a few hundred kilobytes at most: this is not one".to_owned()),
        values: Vec::new(),
    }
}

/// The error of a text without a value.
pub(super) fn empty(text: &str, places: &Places<'_>) -> SyntaxError {
    SyntaxError {
        message: "there is no JSON here, the text is empty".to_owned(),
        at: (places.map)(text.len()..text.len()),
        notes: Vec::new(),
        help: None,
        values: Vec::new(),
    }
}

/// Says what is wrong with a text for a person, from the text, its brackets and the parser's verdict, which is none where the
/// text only nests deeper than `limit`.
pub(super) fn explain(text: &str, error: Option<&ParseError>, limit: usize, places: &Places<'_>) -> SyntaxError {
    let scan = &scan(text);
    let Some(error) = error.filter(|_| scan.depth <= limit) else { return too_deep(text, scan, limit, places) };
    let fragment = is_fragment(text);
    let missing = missing_brackets(text, scan, places);
    let range = error.range();
    let found = found(text, range.start);
    let mut help = None;
    let mut mark = 0..0;
    let (message, at) = if fragment {
        // The rest of what is wrong is only worth saying once the fragment is whole.
        let mut message = "this is a fragment, wrap it in `{ }`".to_owned();
        if let Some(missing) = &missing {
            message = format!("{message}; {missing}");
        }
        help = Some("paste the whole createOptions object, from its first `{` to its last `}`".to_owned());
        let start = text.len() - text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).len();
        (message, start..start + 1)
    } else if let Some(at) = conflict_marker(text, range.start) {
        help =
            Some("finish the merge: keep one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`".to_owned());
        ("a merge conflict was left in the text".to_owned(), at)
    } else if let Some(string) = scan.open_string {
        ("this string is never closed".to_owned(), string..string + 1)
    } else if let Some(missing) = missing.filter(|_| at_end(text, range.end) || is_unterminated(error.kind())) {
        let open = scan.open[0];
        (missing, open..open + 1)
    } else if let Some(at) = placeholder(text, range.start) {
        mark = at.clone();
        help = Some(
            "make the deployment of this template first, and check that; or put the placeholder in quotes".to_owned(),
        );
        (format!("the placeholder `{}` stands where a {} belongs", &text[at.clone()], expected(text, at.start)), at)
    } else {
        let (message, hint) = plain(error.kind(), &found);
        help = hint;
        (message, range.start..range.end.max(range.start))
    };
    let notes = scan
        .open
        .iter()
        .filter(|open| !at.contains(open))
        .take(3)
        .map(|open| SyntaxNote { at: (places.map)(*open..*open + 1), label: "opened here, never closed".to_owned() })
        .collect();
    // The words of a placeholder are no values.
    let values = values(text).into_iter().filter(|range| range.start < mark.start || range.end > mark.end);
    let values = values.flat_map(places.map).collect();
    SyntaxError { message, at: (places.map)(at), notes, help, values }
}

/// The error of nesting deeper than `limit`.
fn too_deep(text: &str, scan: &Scan, limit: usize, places: &Places<'_>) -> SyntaxError {
    SyntaxError {
        message: format!("brackets nest {} deep, more than {limit} are not read", scan.depth),
        at: (places.map)(scan.deepest_at..scan.deepest_at + 1),
        notes: Vec::new(),
        help: Some("a deployment nests about 12 deep: this is not one".to_owned()),
        values: values(text).into_iter().flat_map(places.map).collect(),
    }
}

/// The marker of a merge conflict in whose line `offset` is.
fn conflict_marker(text: &str, offset: usize) -> Option<Range<usize>> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |i| i + 1);
    let line = text[start..].lines().next()?;
    ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark)).then(|| start..start + 7)
}

/// The mark of a template tool that stands at `offset`, or begins right before it: `{{A}}` is taken for an object.
fn placeholder(text: &str, offset: usize) -> Option<Range<usize>> {
    const ENCLOSED: [(&str, &str); 6] =
        [("${", "}"), ("$(", ")"), ("{{", "}}"), ("#{", "}#"), ("<", ">"), ("__", "__")];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = |rest: &str| {
        let line = rest.lines().next().unwrap_or_default();
        let enclosed = ENCLOSED.iter().find_map(|(open, close)| {
            let inner = line.strip_prefix(open)?.find(close).filter(|length| *length > 0)?;
            Some(open.len() + inner + close.len())
        });
        let name =
            || line.strip_prefix('$').filter(|name| name.starts_with(|c: char| is_name(c) && !c.is_ascii_digit()));
        enclosed.or_else(|| name().map(|name| name.find(|c| !is_name(c)).unwrap_or(name.len()) + 1))
    };
    let at = |start: usize| Some(start..start + length(text.get(start..)?)?);
    let before = || offset.checked_sub(1).and_then(at).filter(|range| text[range.clone()].starts_with("{{"));
    at(offset).or_else(before)
}

/// What belongs at `offset`, by the mark before it and the bracket around it.
fn expected(text: &str, offset: usize) -> &'static str {
    let before = text[..offset].trim_end();
    let in_object = || scan(before).open.last().is_some_and(|open| before.as_bytes()[*open] == b'{');
    if !before.ends_with(':') && in_object() { "key" } else { "value" }
}

/// `one `}` missing, object opened at 1:1`, or the same for several.
fn missing_brackets(text: &str, scan: &Scan, places: &Places<'_>) -> Option<String> {
    let (&last, _) = scan.open.split_last()?;
    let (what, closer) = if text.as_bytes()[last] == b'{' { ("object", '}') } else { ("array", ']') };
    let place = places.position(last);
    let after = key_before(text, last).map(|key| format!(" after `{key}:`")).unwrap_or_default();
    Some(match scan.open.len() {
        1 => format!("one `{closer}` missing, {what} opened at {place}{after}"),
        n => format!("{n} closing brackets missing, the innermost {what} opened at {place}{after}"),
    })
}

/// The quoted key whose value starts at `offset`.
fn key_before(text: &str, offset: usize) -> Option<&str> {
    let before = text[..offset].trim_end().strip_suffix(':')?.trim_end();
    let start = before.strip_suffix('"')?.rfind('"')?;
    Some(&before[start..])
}

/// Whether the text starts with `"key":`, so that it is the inside of an object.
fn is_fragment(text: &str) -> bool {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let Some(rest) = text.strip_prefix('"') else { return false };
    rest.find('"').is_some_and(|end| rest[end + 1..].trim_start().starts_with(':'))
}

fn at_end(text: &str, offset: usize) -> bool {
    text.get(offset..).is_none_or(|rest| rest.trim().is_empty())
}

fn is_unterminated(kind: &ParseErrorKind) -> bool {
    matches!(kind, ParseErrorKind::UnterminatedObject | ParseErrorKind::UnterminatedArray)
}

/// The token at `offset`, for a message.
fn found(text: &str, offset: usize) -> String {
    let rest = text.get(offset..).unwrap_or_default();
    let end = rest.find(|c: char| c.is_whitespace() || ",:{}[]\"".contains(c)).unwrap_or(rest.len()).max(1);
    let token = rest.get(..end).unwrap_or_default();
    match rest.chars().next() {
        None => "the end of the text".to_owned(),
        Some('"') => "a string".to_owned(),
        // A word may be a value that lacks its quotes, and so a secret; a placeholder is none.
        Some(c) if c.is_alphanumeric() && !token.chars().all(|c| c.is_ascii_alphabetic()) => "a word".to_owned(),
        Some(_) => format!("`{token}`"),
    }
}

fn plain(kind: &ParseErrorKind, found: &str) -> (String, Option<String>) {
    use ParseErrorKind as K;
    let (message, help) = match kind {
        K::ExpectedColonAfterObjectKey => (format!("expected `:` after a key, found {found}"), None),
        K::ExpectedObjectValue => (format!("expected a value after `:`, found {found}"), None),
        K::ExpectedStringObjectProperty => {
            (format!("expected a key in double quotes, found {found}"), Some("write keys as \"Key\""))
        }
        K::UnexpectedTokenInObject => (format!("expected a key or `}}`, found {found}"), None),
        K::ExpectedComma => ("expected `,` before the next value".to_owned(), None),
        K::MultipleRootJsonValues => (
            format!("expected the end of the document, found {found}"),
            Some("the first value is complete before this place"),
        ),
        K::UnexpectedCloseBrace => ("this `}` closes nothing".to_owned(), None),
        K::UnexpectedCloseBracket => ("this `]` closes nothing".to_owned(), None),
        K::UnexpectedComma | K::UnexpectedColon | K::UnexpectedToken => {
            (format!("expected a value, found {found}"), None)
        }
        K::UnexpectedWord => (
            format!("expected a value, found {found}"),
            Some("strings need double quotes; a placeholder must be filled in, or stand in quotes"),
        ),
        K::UnterminatedCommentBlock => ("this comment is never closed".to_owned(), None),
        K::SingleQuotedStringsNotAllowed => ("strings need double quotes".to_owned(), None),
        K::String(kind) => (format!("bad string: {}", lower_first(&kind.to_string())), None),
        other => (lower_first(&other.to_string()), None),
    };
    (message, help.map(str::to_owned))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;

    #[test]
    fn a_placeholder_is_named_whole() {
        for (text, mark, belongs) in [
            (r#"{"a": $B}"#, "$B", "value"),
            (r#"{"a": ${B}, "c": 1}"#, "${B}", "value"),
            (r#"{"a": {{B}}}"#, "{{B}}", "value"),
            (r#"{"a": #{B}#}"#, "#{B}#", "value"),
            (r#"{"a": [<a bind>]}"#, "<a bind>", "value"),
            (r#"{"a": __B_C__}"#, "__B_C__", "value"),
            ("{\"a\": 1,\r\n <more options>\r\n}", "<more options>", "key"),
        ] {
            let source = Source::new("t", text);
            let error = Document::parse(source.clone()).unwrap_err();
            assert_eq!(error.message, format!("the placeholder `{mark}` stands where a {belongs} belongs"), "{text}");
            assert_eq!(&text[error.at[0].clone()], mark);
            assert!(source.masked(&error.values).text().contains(mark), "{text}");
        }
        let error = Document::parse(Source::new("t", r#"{"a": $5}"#)).unwrap_err();
        assert!(!error.message.contains("placeholder"), "{}", error.message);
    }
}
