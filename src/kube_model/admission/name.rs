//! What Kubernetes takes for a name (K8S-VAL `util/validation/validation.go`).

/// The most that a label, and the value of one, may have.
const MAX_LABEL: usize = 63;

/// The most that a DNS name may have.
const MAX_DOMAIN: usize = 253;

/// Whether `name` is a DNS label as containers and volumes have it (RFC 1123).
pub(super) fn is_label(name: &str) -> bool {
    (1..=MAX_LABEL).contains(&name.len())
        && is_framed(name, |c| c == '-', |c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Whether `name` is a DNS label as Services have it (RFC 1035): with a letter in front.
pub(super) fn is_service_name(name: &str) -> bool {
    is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether `name` is a DNS name of one or more labels, as most objects have it.
pub(super) fn is_subdomain(name: &str) -> bool {
    let part = |part: &str| is_framed(part, |c| c == '-', |c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= MAX_DOMAIN && name.split('.').all(part)
}

/// Whether `key` is one of a label, of an annotation in lower case, or the name of a resource.
pub(crate) fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        None => is_qualified_part(key),
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified_part(name),
    }
}

/// Whether `value` is one of a label.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_qualified_part(value)
}

/// Whether `name` is one of a kernel parameter: segments of lower-case letters and digits, `-` and `_` inside.
pub(super) fn is_sysctl(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= MAX_DOMAIN && name.split('.').all(|part| is_framed(part, |c| matches!(c, '-' | '_'), is_edge))
}

fn is_qualified_part(name: &str) -> bool {
    let is_inner = |c| matches!(c, '-' | '_' | '.');
    (1..=MAX_LABEL).contains(&name.len()) && is_framed(name, is_inner, |c| c.is_ascii_alphanumeric())
}

/// Whether `name` is made of `edge` characters, with `inner` ones inside only.
fn is_framed(name: &str, inner: impl Fn(char) -> bool, edge: impl Fn(char) -> bool) -> bool {
    name.starts_with(&edge) && name.ends_with(&edge) && name.chars().all(|c| edge(c) || inner(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        assert!(["a", "1a", "a-b"].iter().all(|name| is_label(name)));
        assert!(["", "-a", "a-", "a.b", "A", "é"].iter().all(|name| !is_label(name)));
        assert!(!is_service_name("1a") && is_service_name("a1"));
        assert!(is_subdomain("a.b-c") && !is_subdomain("a..b") && !is_subdomain("a.-b") && !is_subdomain(""));
        assert!(is_qualified("Example_1") && is_qualified("example.com/x.y"));
        assert!(!is_qualified("/x") && !is_qualified("a/b/c") && !is_qualified("A.com/x") && !is_qualified("a/"));
        assert!(is_label_value("") && is_label_value("A.b") && !is_label_value("a/b"));
        assert!(is_sysctl("net.core.somax_conn") && !is_sysctl("Net.x") && !is_sysctl("net..x"));
    }
}
