//! Placeholders: text that a tool replaces before anything is deployed, in the notations of `corpus.md` (quirks 9, 13).

/// Whether `text` holds a placeholder, so that nobody knows yet what it will say: `${X}`, `$X`, `$(X)`, `#{X}#`,
/// `{{X}}`, `<x>`, or as a whole `__x__` or `__X`.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let marked = ["${", "$(", "#{", "{{"].iter().any(|mark| text.contains(mark));
    let dollar = text.match_indices('$').any(|(at, _)| {
        text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            // `$edgeHub` and `$edgeAgent` are module ids.
            && !text[at + 1..].starts_with("edge")
    });
    let angled = text.find('<').is_some_and(|at| text[at..].contains('>'));
    let underlined = text.strip_prefix("__").is_some_and(|name| {
        let capital = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        name.len() > 2 && (capital || name.ends_with("__"))
    });
    marked || dollar || angled || underlined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_known() {
        for text in [
            "${X}",
            "http://$HOST:80",
            "$(tag)",
            "#{X}#",
            "{{x}}",
            "<your name>",
            "__NAME__",
            "__name__",
            "__MODULE_NAME",
            "a-${B:-c}",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["", "5000", "a__b", "__init", "1 < 2", "cost $5", "$edgeHub", "/var/lib"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
