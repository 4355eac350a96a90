//! Names as the agent makes them out of module ids and mount sources (`k8s-translation.md` §4, class `KubeUtils`), and
//! what Kubernetes demands of them.

/// The most that a DNS label may have: characters, which are ASCII.
const MAX_LABEL: usize = 63;

/// The most that a DNS name of several labels may have.
const MAX_DOMAIN: usize = 253;

/// The name of a module's Deployment, Service, service account and container: its id in lower case without everything
/// that is no letter, digit, `-` or `.` (`SanitizeK8sValue`). The agent refuses results over 253 characters; here they
/// are returned, for [`label_fault`] to judge.
pub fn object_name(id: &str) -> String {
    kept(id, |c| matches!(c, '-' | '.'))
}

/// The name of a volume and its claim: the source in lower case, trimmed to start and end with a letter or digit,
/// without everything that is no letter, digit or `-` (`SanitizeDNSLabel`, beta13 and later). `None` where the agent
/// throws: nothing is left, or more than 63 characters.
pub fn dns_label(source: &str) -> Option<String> {
    let trimmed = source.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let label = kept(trimmed, |c| c == '-');
    (1..=MAX_LABEL).contains(&label.len()).then_some(label)
}

/// [`object_name`], with the agent's own limit (`SanitizeK8sValue`). `None` where it throws: more than 253 characters.
pub fn k8s_value(id: &str) -> Option<String> {
    Some(object_name(id)).filter(|name| name.len() <= MAX_DOMAIN)
}

/// A name that starts with a letter (`SanitizeDNSValue`): what volumes were called before beta13. `None` where the agent
/// throws: nothing is left, or more than 63 characters.
pub fn dns_value(text: &str) -> Option<String> {
    let text = text.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
    let text = kept(text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()), |c| c == '-');
    (1..=MAX_LABEL).contains(&text.len()).then_some(text)
}

/// The value of a label, such as the device's: lower case, `-`, `_` and `.` inside only (`SanitizeLabelValue`). `None`
/// where the agent throws: nothing is left, or more than 63 characters.
pub fn label_value(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let text = kept(text, |c| matches!(c, '-' | '_' | '.'));
    (1..=MAX_LABEL).contains(&text.len()).then_some(text)
}

/// What keeps `name` from being a container's name and a label's value, in words that go on after "it …"; `None`
/// where nothing does. A digit in front is fine for both (refused for Services only).
pub(crate) fn label_fault(name: &str) -> Option<&'static str> {
    let edge = |c: char| c == '-' || c == '.';
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with(edge) {
        Some("does not start with a letter or digit")
    } else if name.ends_with(edge) {
        Some("does not end with a letter or digit")
    } else if name.contains('.') {
        Some("contains a dot")
    } else if name.len() > MAX_LABEL {
        Some("is longer than 63 characters")
    } else {
        None
    }
}

/// Whether Kubernetes takes `name` for an environment variable: letters, digits, `-`, `_` and `.`, no digit in front
/// (K8S-VAL envVarNameFmt).
pub(crate) fn is_env_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The annotation that the agent makes of a Docker label: what stands before the first `/` as a DNS name in lower case,
/// the rest trimmed to start and end with a letter or digit (`SanitizeAnnotationKey`).
///
/// # Errors
/// Where the agent throws: why, in words that go on after "it …".
pub fn annotation_key(label: &str) -> Result<String, &'static str> {
    let (prefix, name) = label.split_once('/').map_or((None, label), |(prefix, name)| (Some(prefix), name));
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut own = String::with_capacity(name.len());
    own.extend(name.chars().filter(allowed));
    if own.is_empty() {
        return Err("has no letter or digit in its name");
    }
    if own.len() > MAX_LABEL {
        return Err("has a name that is longer than 63 characters");
    }
    match prefix.map(dns_domain) {
        None => Ok(own),
        Some(Some(domain)) => Ok(format!("{domain}/{own}")),
        Some(None) => Err("has no DNS name before its `/`"),
    }
}

/// `SanitizeDNSDomain`: each segment between dots by [`dns_value`]. `None` where the agent throws.
pub fn dns_domain(text: &str) -> Option<String> {
    let segments: Option<Vec<_>> = text.split('.').map(dns_value).collect();
    segments.map(|segments| segments.join(".")).filter(|domain| domain.len() <= MAX_DOMAIN)
}

/// What the variables about the Service of a module begin with in every pod, up to the `_`: `redis-cache` is
/// `REDIS_CACHE` (K8S-VAL `envvars.go`).
pub(crate) fn service_variable(id: &str) -> String {
    object_name(id).to_ascii_uppercase().replace('-', "_")
}

fn kept(text: &str, also: impl Fn(char) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    kept.extend(text.chars().filter(|c| c.is_ascii_alphanumeric() || also(*c)).map(|c| c.to_ascii_lowercase()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_those_of_the_agent() {
        let names = [
            ("$edgeAgent", "edgeagent"),
            ("$edgeHub", "edgehub"),
            ("my_Module", "mymodule"),
            ("---a-0---", "---a-0---"),
        ];
        for (id, name) in names {
            assert_eq!(object_name(id), name);
        }
    }

    #[test]
    fn labels_are_those_of_the_agent() {
        let labels = [
            ("$edgeAgent", Some("edgeagent")),
            ("---a-0---", Some("a-0")),
            ("---a-z-/--1", Some("a-z---1")),
            ("111111111", Some("111111111")),
            ("/etc/some_path", Some("etcsomepath")),
            ("$$$$$$", None),
            ("", None),
        ];
        for (source, label) in labels {
            assert_eq!(dns_label(source).as_deref(), label, "{source}");
        }
        assert_eq!(dns_label(&"A-".repeat(32)).map(|label| label.len()), Some(63));
        assert_eq!(dns_label(&"a".repeat(64)), None);
    }

    #[test]
    fn annotations_are_those_of_the_agent() {
        let long = "abcdefghij".repeat(7);
        for (label, key) in [
            ("$edgeHub", Some("edgeHub")),
            ("K8S.IO/---a-0--", Some("k8s.io/a-0")),
            ("com.example.team", Some("com.example.team")),
            (long.as_str(), None),
            (&format!("iothub.azure-device.net/{long}"), None),
            ("123.com/!!!!", None),
            ("a..b/c", None),
            ("$$$$.com/x", None),
            ("a.&&&&.org/x", None),
            ("/x", None),
            ("", None),
        ] {
            assert_eq!(annotation_key(label).ok().as_deref(), key, "{label}");
        }
    }

    #[test]
    fn service_variables_are_those_of_kubernetes() {
        assert_eq!(service_variable("redis-cache"), "REDIS_CACHE");
        assert_eq!(service_variable("$edgeHub"), "EDGEHUB");
    }

    #[test]
    fn env_names_are_those_of_kubernetes() {
        assert!(["A", "a__b", "a.b-c", "_1"].iter().all(|name| is_env_name(name)));
        assert!(["", "a:b", "Upstream protocol", "1A", "a/b"].iter().all(|name| !is_env_name(name)));
    }

    #[test]
    fn what_is_no_label_is_said() {
        let ok = ["a", "1a", "a-b", &"a".repeat(63)];
        assert!(ok.iter().all(|name| label_fault(name).is_none()));
        let bad = ["", "-a", "a-", "a.", "a.b", &"a".repeat(64)];
        assert!(bad.iter().all(|name| label_fault(name).is_some()));
    }
}
