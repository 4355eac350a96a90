//! Placeholders: text that a tool replaces before anything is deployed, in the notations of `corpus.md` (quirks 9, 13).

/// Whether `text` holds a placeholder, so that nobody knows yet what it will say: `${X}`, `$X`, `$(X)`, `#{X}#`,
/// `{{X}}`, `<x>`, or `__X__` as a whole.
pub(crate) fn is_placeholder(text: &str) -> bool {
    let marked = ["${", "$(", "#{", "{{"].iter().any(|mark| text.contains(mark));
    let dollar = text.match_indices('$').any(|(at, _)| {
        text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            // `$edgeHub` and `$edgeAgent` are module ids.
            && !text[at + 1..].starts_with("edge")
    });
    let angled = text.find('<').is_some_and(|at| text[at..].contains('>'));
    let underlined = text.len() > 4 && text.starts_with("__") && text.ends_with("__");
    marked || dollar || angled || underlined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_known() {
        for text in ["${X}", "http://$HOST:80", "$(tag)", "#{X}#", "{{x}}", "<your name>", "__NAME__", "a-${B:-c}"] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["", "5000", "a__b", "__init", "1 < 2", "cost $5", "$edgeHub", "/var/lib"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
