//! Marks that a tool replaces before a deployment is sent: `$VAR`, `${VAR}`, `$(VAR)`, `{{VAR}}`, `<text>`, `#{VAR}#`,
//! `__VAR__`, and `__VAR` in capitals (`corpus.md` quirks 9, 12 and 22). What they stand for is not known, so they are no
//! values.

/// Whether there is a placeholder anywhere in `text`.
pub(crate) fn has_placeholder(text: &str) -> bool {
    text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'$' | b'<' | b'{' | b'#' | b'_')).any(|(i, byte)| {
        // `a__b__c` is one name, with `__` for the colons of a .NET setting.
        let in_word = byte == b'_' && text[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        !in_word && starts_with_placeholder(&text[i..])
    })
}

/// Whether `text` is a placeholder or begins with one.
pub(crate) fn starts_with_placeholder(text: &str) -> bool {
    let enclosed = |open: &str, close: &str| {
        text.strip_prefix(open).and_then(|rest| rest.find(close)).is_some_and(|length| length > 0)
    };
    let variable = text.strip_prefix('$').and_then(|rest| rest.chars().next());
    let capitals = text.strip_prefix("__").is_some_and(|name| {
        name.len() > 2 && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    });
    variable.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        || capitals
        || enclosed("${", "}")
        || enclosed("$(", ")")
        || enclosed("{{", "}}")
        || enclosed("<", ">")
        || enclosed("#{", "}#")
        || enclosed("__", "__")
}

/// The bytes of `text` that stand outside of `${…}`, `{{…}}`, `#{…}` and `<…>`, each with its place: where to look for
/// separators.
pub(super) fn outside(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let mut depth = 0usize;
    text.bytes().enumerate().filter(move |(_, byte)| {
        match byte {
            b'{' | b'<' => depth += 1,
            b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known() {
        let placeholders = [
            "$A",
            "${A}",
            "${A:-/x}",
            "$(A)",
            "{{ A }}",
            "<a share>",
            "#{A}#",
            "__A__",
            "__MODULE_NAME",
            "/home/hcsshares/$SHARE/out",
            "/data/__SHARE__/x",
            "http://${HOST}:80",
        ];
        for text in placeholders {
            assert!(has_placeholder(text), "{text}");
        }
        for text in ["", "/a/b", "a$", "$1", "a<b", "__init", "#a", "C:/a", "a__b__c", "Logging__Level", "5000"] {
            assert!(!has_placeholder(text), "{text}");
        }
        assert!(starts_with_placeholder("$A/out"));
        assert!(!starts_with_placeholder("/data/$A"));
    }
}
