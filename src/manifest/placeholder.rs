//! Marks that a tool replaces before a deployment is sent: `$VAR`, `${VAR}`, `<text>`, `#{VAR}#`, `__VAR__`
//! (`corpus.md` quirks 9 and 22). What they stand for is not known, so they are no values.

/// Whether there is a placeholder anywhere in `text`.
pub(crate) fn has_placeholder(text: &str) -> bool {
    text.char_indices().any(|(i, _)| starts_with_placeholder(&text[i..]))
}

/// Whether `text` is a placeholder or begins with one.
pub(crate) fn starts_with_placeholder(text: &str) -> bool {
    let enclosed = |open: &str, close: &str| {
        text.strip_prefix(open).and_then(|rest| rest.find(close)).is_some_and(|length| length > 0)
    };
    let variable = text.strip_prefix('$').and_then(|rest| rest.chars().next());
    variable.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        || enclosed("${", "}")
        || enclosed("<", ">")
        || enclosed("#{", "}#")
        || enclosed("__", "__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known() {
        for text in ["$A", "${A}", "${A:-/x}", "<a share>", "#{A}#", "__A__", "/home/hcsshares/$SHARE/out"] {
            assert!(has_placeholder(text), "{text}");
        }
        for text in ["", "/a/b", "a$", "$1", "a<b", "__init", "#a", "C:/a"] {
            assert!(!has_placeholder(text), "{text}");
        }
        assert!(starts_with_placeholder("$A/out"));
        assert!(!starts_with_placeholder("/data/$A"));
    }
}
