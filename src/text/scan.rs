//! One pass over raw text that does not parse: how deep it nests and which brackets stay open. Tolerates anything; judging
//! is the parser's.

use std::ops::Range;

/// What one pass over a text shows.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The deepest nesting of `{` and `[`, and where it is first reached.
    pub(super) depth: usize,
    pub(super) deepest_at: usize,
    /// Offsets of the `{` and `[` that are never closed, outermost first.
    pub(super) open: Vec<usize>,
    /// Where a string was still open at the end.
    pub(super) open_string: Option<usize>,
}

/// Scans `text` as JSON with comments.
pub(super) fn scan(text: &str) -> Scan {
    let bytes = text.as_bytes();
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let Some(end) = string_end(bytes, at) else {
                    scan.open_string = Some(at);
                    return scan;
                };
                at = end;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = text[at..].find('\n').map_or(bytes.len(), |i| at + i);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at + 2..].find("*/").map_or(bytes.len(), |i| at + i + 4);
                continue;
            }
            b'{' | b'[' => {
                scan.open.push(at);
                if scan.open.len() > scan.depth {
                    scan.depth = scan.open.len();
                    scan.deepest_at = at;
                }
            }
            b'}' | b']' => {
                let opener = if bytes[at] == b'}' { b'{' } else { b'[' };
                // A bracket of the other kind closes nothing: the parser says so at that place.
                if scan.open.last().is_some_and(|open| bytes[*open] == opener) {
                    scan.open.pop();
                }
            }
            _ => {}
        }
        at += 1;
    }
    scan
}

/// Where a text that may not be JSON has what could be values: the content of strings that are no keys, and words without
/// quotes that are neither `true`, `false`, `null` nor placeholders. A string that is never closed ends with the text.
pub(super) fn values(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        if bytes[at] == b'"' {
            let end = string_end(bytes, at);
            at = end.unwrap_or(bytes.len()).min(bytes.len());
            let is_key = text.get(at..).is_some_and(|rest| rest.trim_start().starts_with(':'));
            let content = start + 1..if end.is_some() { at - 1 } else { at };
            if !is_key && !content.is_empty() {
                values.push(content);
            }
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "\",:{}[]".contains(c);
        let word = text.get(at..).map(|rest| rest.split(ends).next().unwrap_or_default()).unwrap_or_default();
        if word.is_empty() {
            at += 1;
            continue;
        }
        at += word.len();
        let harmless =
            ["true", "false", "null"].contains(&word) || word.starts_with(['<', '$', '_', '#', '/', '=', '>']);
        let is_key = text.get(at..).is_some_and(|rest| rest.trim_start().starts_with(':'));
        if !harmless && !is_key {
            values.push(start..at);
        }
    }
    values
}

/// The offset after the closing quote of the string that starts at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let scan = scan(
            r#"{ "a{": "}\"", // {
            /* [ */ "b": [1] }"#,
        );
        assert_eq!((scan.depth, scan.open.len()), (2, 0));
    }

    #[test]
    fn open_brackets_are_listed_from_the_outside() {
        assert_eq!(scan(r#"{"a": [{"b": 1"#).open, [0, 6, 7]);
    }

    #[test]
    fn values_are_told_from_keys() {
        let text = r#"{"Env": ["A=1", word, 42, $X], "k": "open"#;
        let found: Vec<&str> = values(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, ["A=1", "word", "42", "open"]);
    }
}
