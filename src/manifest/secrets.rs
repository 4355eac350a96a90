//! Which bytes of a manifest must not be shown: credentials, and environment values unless a rule pointed at them.

use std::ops::Range;

use super::Manifest;
use super::placeholder::starts_with_placeholder;
use crate::text::{At, Kind, Source, Span};

/// Environment variables whose values are no secret and that rules need (`ARCHITECTURE.md`, secrets), in lower case. A proxy
/// keeps everything but its user and password.
const OPEN_NAMES: [&str; 12] = [
    "nvidia_visible_devices",
    "nvidia_driver_capabilities",
    "upstreamprotocol",
    "no_proxy",
    "http_proxy",
    "https_proxy",
    "wireserver_address",
    "storagefolder",
    "runtimeloglevel",
    "optimizeforperformance",
    "metricsendpointscsv",
    "iotedge_workloaduri",
];

/// Words in a key that say that its value is a secret.
const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "pwd", "secret", "token", "credential", "apikey", "accesskey", "connectionstring"];

/// Marks in a value that say the same.
const SECRET_MARKS: [&str; 5] = ["sharedaccesskey=", "sharedaccesssignature", "accountkey=", "password=", "sig="];

impl Manifest {
    /// The text with everything secret overwritten by as many `*` as it has bytes, so that every place stays where
    /// it is. Bytes of `shown`, which findings point at, are left if they are environment values; credentials never.
    pub fn masked(&self, shown: &[Span]) -> Source {
        let document = self.document();
        let shown: Vec<Range<usize>> = shown.iter().flat_map(|span| document.ranges(*span)).collect();
        let mut text = document.source().text().as_bytes().to_vec();
        let mut mask = |span: Span, keep: &[Range<usize>]| {
            for i in document.ranges(span).into_iter().flatten() {
                if !keep.iter().any(|range| range.contains(&i)) {
                    text[i] = b'*';
                }
            }
        };
        let mut unquoted = Vec::new();
        for module in self.modules() {
            for var in module.env() {
                if !OPEN_NAMES.contains(&var.name.to_ascii_lowercase().as_str()) {
                    let keep: &[Range<usize>] = if is_secret_name(var.name) { &[] } else { &shown };
                    mask(var.value_span(), keep);
                    unquoted.extend(var.bare_value().filter(|at| is_masked(&document.ranges(at.span()), keep)));
                }
            }
        }
        for entry in self.modules().filter_map(|module| module.option(&["Env"])).flat_map(At::items) {
            if let Some((name, value)) = value_without_equals(entry)
                && !OPEN_NAMES.contains(&name.to_ascii_lowercase().as_str())
            {
                mask(entry.part(value), if is_secret_name(name) { &[] } else { &shown });
            }
        }
        for at in document.nodes().filter(|at| at.kind() == Kind::String && at.opened().id() == at.id()) {
            for secret in secret_parts(at) {
                mask(at.part(secret), &[]);
            }
        }
        // A number or a boolean is no JSON any more without its digits or letters: it becomes a string of the same
        // length, or a digit.
        for range in unquoted.into_iter().flat_map(|at| document.ranges(at.span())) {
            match range.len() {
                1 => text[range.start] = b'0',
                length => {
                    text[range.start] = b'"';
                    text[range.start + length - 1] = b'"';
                }
            }
        }
        // Only whole escape sequences and characters are overwritten, with ASCII: the text stays UTF-8 and JSON.
        let text = String::from_utf8(text).unwrap_or_default();
        Source::new(document.source().name(), text)
    }
}

/// Whether a string has something in it that must not be shown, so that no edit may repeat it.
pub(crate) fn holds_secret(at: At<'_>) -> bool {
    !secret_parts(at).is_empty()
}

/// Name and value of an entry of `Env` without `=`, as `NAME:value` or with whatever else stands between them: it sets
/// nothing, but somebody meant it to.
fn value_without_equals(entry: At<'_>) -> Option<(&str, Range<usize>)> {
    let text = entry.as_str().filter(|text| !text.contains('=') && !starts_with_placeholder(text))?;
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let start = end + text[end..].chars().next().map_or(0, char::len_utf8);
    Some((&text[..end], start..text.len()))
}

fn is_masked(ranges: &[Range<usize>], keep: &[Range<usize>]) -> bool {
    ranges.iter().all(|range| keep.iter().all(|kept| kept.end <= range.start || range.end <= kept.start))
}

/// The parts of a string that are secret wherever it stands: all of it below a key that says so, or in registry
/// credentials, or if its shape says so; else user and password of a URL.
fn secret_parts(at: At<'_>) -> Vec<Range<usize>> {
    let text = at.as_str().unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let whole = at.key().is_some_and(is_secret_name)
        || SECRET_MARKS.iter().any(|mark| lower.contains(mark))
        || is_registry_credential(at);
    if whole {
        // `NAME=value` keeps its name.
        let start =
            if at.key().is_none() && !is_url_before_equals(text) { text.find('=').map_or(0, |i| i + 1) } else { 0 };
        return std::iter::once(start..text.len()).collect();
    }
    userinfo(text)
}

fn is_secret_name(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

fn is_registry_credential(at: At<'_>) -> bool {
    let named =
        at.key().is_some_and(|key| key.eq_ignore_ascii_case("username") || key.eq_ignore_ascii_case("password"));
    let holder = at.parent().and_then(At::parent).and_then(At::key);
    named && holder.is_some_and(|key| key.contains("registryCredentials"))
}

fn is_url_before_equals(text: &str) -> bool {
    text.split('=').next().is_some_and(|before| before.contains("://"))
}

/// `user:password` of every URL in `text`.
fn userinfo(text: &str) -> Vec<Range<usize>> {
    let authority = |(at, _): (usize, &str)| {
        let start = at + 3;
        let end = text[start..].find(['/', '?', '#', ' ', '"', ',']).map_or(text.len(), |i| start + i);
        text[start..end].rfind('@').map(|i| start..start + i)
    };
    text.match_indices("://").filter_map(authority).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        Manifest::read(&Source::new("t", text)).unwrap().masked(&[]).text().to_owned()
    }

    #[test]
    fn env_values_are_masked_and_stay_where_they_are() {
        let text =
            r#"{"Env": ["A=s3cret", "https_proxy=http://me:pw@proxy:3128", "API_TOKEN=x\u0041"], "HostConfig": {}}"#;
        let out = masked(text);
        assert_eq!(out.len(), text.len());
        assert_eq!(
            out,
            r#"{"Env": ["A=******", "https_proxy=http://*****@proxy:3128", "API_TOKEN=*******"], "HostConfig": {}}"#
        );
    }

    #[test]
    fn entries_without_equals_are_masked_behind_their_name() {
        let text = r#"{"Env": ["DB:hunter2", "DB_PASSWORD hunter2", "no_proxy:localhost", "DEBUG", "${ALL}"]}"#;
        assert_eq!(
            masked(text),
            r#"{"Env": ["DB:*******", "DB_PASSWORD *******", "no_proxy:localhost", "DEBUG", "${ALL}"]}"#
        );
    }

    #[test]
    fn numbers_and_booleans_stay_json() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"m": {
            "env": {"A": {"value": 12345}, "B": {"value": true}, "C": {"value": 7}, "D": false}}}}}}}"#;
        let out = masked(text);
        assert!(out.contains(r#""A": {"value": "***"}, "B": {"value": "**"}, "C": {"value": 0}, "D": "***""#), "{out}");
        assert!(Manifest::read(&Source::new("t", out)).is_ok());
    }

    #[test]
    fn registry_credentials_and_connection_strings_are_masked() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {
            "runtime": {"settings": {"registryCredentials": {"r": {"address": "r.io", "username": "me", "password": "pw"}}}},
            "modules": {"m": {"settings": {"createOptions": "{\"Cmd\":[\"--c=HostName=h;SharedAccessKey=abc\"]}"}}}}},
            "m": {"properties.desired": {"Sql": "Server=s;Password=p", "dbSecret": "x"}}}}"#;
        let out = masked(text);
        for secret in ["\"me\"", "\"pw\"", "abc", "Password=p", "\"x\""] {
            assert!(!out.contains(secret), "{secret} in {out}");
        }
        assert!(out.contains("r.io"));
        assert!(Manifest::read(&Source::new("t", out)).is_ok());
    }

    #[test]
    fn what_a_finding_points_at_is_shown_unless_its_name_says_secret() {
        let text = r#"{"Env": ["URL=http://peer:80/x", "SECRET=peer"]}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let module = manifest.modules().next().unwrap();
        let env = module.env();
        let shown = [env[0].value_part(7..14), env[1].value_span()];
        assert_eq!(manifest.masked(&shown).text(), r#"{"Env": ["URL=*******peer:80**", "SECRET=****"]}"#);
    }
}
