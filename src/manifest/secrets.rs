//! Which bytes of a manifest must not be shown: credentials, and environment values unless a rule pointed at them.

use std::ops::Range;

use super::placeholder::starts_with_placeholder;
use super::{Manifest, Options};
use crate::text::{At, Document, Kind, Source, Span};

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
const SECRET_MARKS: [&str; 11] = [
    "sharedaccesskey=",
    "sharedaccesssignature",
    "accountkey=",
    "password=",
    "pwd=",
    "secret=",
    "token=",
    "apikey=",
    "api_key=",
    "code=",
    "sig=",
];

impl Manifest {
    /// The text with everything secret overwritten by as many `*` as it has bytes, so that every place stays where
    /// it is. Bytes of `shown`, which findings point at, are left if they are environment values; credentials never.
    pub fn masked(&self, shown: &[Span]) -> Source {
        let document = self.document();
        let mut mask = Mask::new(document, shown);
        for at in document.nodes().filter(|at| is_scalar(*at)) {
            if let Some((name, value)) = variable(at)
                && !OPEN_NAMES.contains(&name.to_ascii_lowercase().as_str())
            {
                mask.value(at, value, !is_secret_name(name));
            }
            for secret in secret_parts(at) {
                mask.value(at, secret, false);
            }
        }
        // createOptions that are no JSON have no nodes: whatever could be a value in them is overwritten.
        for module in self.modules() {
            if let Options::Broken { error, .. } = module.options() {
                error.values.iter().for_each(|range| mask.bytes(range.clone(), false));
            }
        }
        // Only whole escape sequences and characters are overwritten, with ASCII: the text stays UTF-8 and JSON.
        Source::new(document.source().name(), String::from_utf8(mask.text).unwrap_or_default())
    }
}

/// A text being overwritten.
struct Mask<'m> {
    document: &'m Document,
    text: Vec<u8>,
    /// Of each byte, whether a finding points at it: asked for every byte of every value, however many findings there are.
    shown: Vec<bool>,
}

impl<'m> Mask<'m> {
    fn new(document: &'m Document, shown: &[Span]) -> Self {
        let text = document.source().text().as_bytes().to_vec();
        let mut flags = vec![false; text.len()];
        for range in shown.iter().flat_map(|span| document.ranges(*span)) {
            flags[range].fill(true);
        }
        Self { document, text, shown: flags }
    }

    /// Overwrites `part` of what `at` says; where `keep_shown`, but for the bytes that a finding points at.
    fn value(&mut self, at: At<'_>, part: Range<usize>, keep_shown: bool) {
        let ranges = self.document.ranges(if at.kind() == Kind::String { at.part(part) } else { at.span() });
        if at.kind() != Kind::String {
            // A number or a boolean is no JSON any more without its digits or letters.
            let is_shown = ranges.iter().cloned().flatten().any(|i| self.shown[i]);
            if !(keep_shown && is_shown) {
                self.bare(at, &ranges);
            }
            return;
        }
        for range in ranges {
            self.bytes(range, keep_shown);
        }
    }

    fn bytes(&mut self, range: Range<usize>, keep_shown: bool) {
        for i in range {
            if !(keep_shown && self.shown[i]) {
                self.text[i] = b'*';
            }
        }
    }

    /// In the file itself a string of the same length; inside of a string, where a quote would end it, a number.
    fn bare(&mut self, at: At<'_>, ranges: &[Range<usize>]) {
        let in_file = std::ptr::eq(self.document.layer_text(at.span()), self.document.source().text());
        match ranges {
            [range] if in_file && range.len() > 1 => {
                self.bytes(range.clone(), false);
                self.text[range.start] = b'"';
                self.text[range.end - 1] = b'"';
            }
            ranges => ranges.iter().cloned().flatten().for_each(|i| self.text[i] = b'1'),
        }
    }
}

fn is_scalar(at: At<'_>) -> bool {
    match at.kind() {
        // A string that holds JSON is looked at from inside.
        Kind::String => at.opened().id() == at.id(),
        Kind::Number | Kind::Bool(_) => true,
        Kind::Null | Kind::Array | Kind::Object => false,
    }
}

/// Name and value of the environment variable whose value `at` is, wherever an `Env` or `env` stands: entries of a list,
/// or whatever is below a member.
fn variable(at: At<'_>) -> Option<(&str, Range<usize>)> {
    let is_env = |at: At<'_>| at.key().is_some_and(|key| key.eq_ignore_ascii_case("env"));
    let parent = at.parent()?;
    if parent.kind() == Kind::Array && is_env(parent) {
        let text = at.as_str()?;
        return match text.split_once('=') {
            Some((name, value)) => Some((name, text.len() - value.len()..text.len())),
            None => value_without_equals(text),
        };
    }
    let mut member = at;
    for _ in 0..4 {
        let holder = member.parent()?;
        if holder.kind() == Kind::Object && is_env(holder) {
            return Some((member.key()?, 0..at.as_text()?.len()));
        }
        member = holder;
    }
    None
}

/// A text that is no part of a manifest, without secrets: all of it is overwritten where its shape says secret, else user
/// and password of URLs are.
pub fn open_text(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let is_secret = SECRET_MARKS.iter().any(|mark| lower.contains(mark));
    let secrets = if is_secret { vec![0..text.len()] } else { userinfo(text) };
    let mut open = text.to_owned();
    for secret in secrets.into_iter().rev() {
        open.replace_range(secret.clone(), &"*".repeat(secret.len()));
    }
    open
}

/// Whether what is called `name` is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Whether a string has something in it that must not be shown, so that no edit may repeat it.
pub(crate) fn holds_secret(at: At<'_>) -> bool {
    !secret_parts(at).is_empty()
}

/// Name and value of an entry of `Env` without `=`, as `NAME:value` or with whatever else stands between them: it sets
/// nothing, but somebody meant it to.
fn value_without_equals(text: &str) -> Option<(&str, Range<usize>)> {
    if starts_with_placeholder(text) {
        return None;
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let start = end + text[end..].chars().next().map_or(0, char::len_utf8);
    Some((&text[..end], start..text.len()))
}

/// The parts of a string that are secret wherever it stands: all of it below a key that says so, or in registry
/// credentials, or if its shape says so; else user and password of a URL.
fn secret_parts(at: At<'_>) -> Vec<Range<usize>> {
    let text = at.as_str().unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let whole = at.key().is_some_and(is_secret_name)
        || follows_secret_flag(at)
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

/// Whether `at` is the argument after a flag such as `--password`.
fn follows_secret_flag(at: At<'_>) -> bool {
    let before = at
        .parent()
        .filter(|list| list.kind() == Kind::Array)
        .and_then(|list| list.items().take_while(|item| item.id() != at.id()).last());
    let flag = before.and_then(At::as_str).filter(|text| text.starts_with('-') && !text.contains('='));
    flag.is_some_and(is_secret_name)
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
        assert!(out.contains(r#""A": {"value": "***"}, "B": {"value": "**"}, "C": {"value": 1}, "D": "***""#), "{out}");
        assert!(Manifest::read(&Source::new("t", out)).is_ok());
    }

    #[test]
    fn variables_are_masked_wherever_they_stand() {
        let text = r#"{"Env": ["A=one"], "HostConfig": {"Env": ["B=two"], "env": {"C": {"value": 33}}}, "Env": ["D=four"],
            "Cmd": ["--api-key", "five", "--mode", "fast"], "Other": "https://h/p?code=six"}"#;
        let out = masked(text);
        for secret in ["one", "two", "33", "four", "five", "six"] {
            assert!(!out.contains(secret), "{secret} in {out}");
        }
        assert!(out.contains("fast"));
    }

    #[test]
    fn values_of_broken_create_options_are_masked() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"m": {"settings": {
            "createOptions": "{\"Env\":[\"A=one\", B=two, 333],\"HostConfig\":{\"Privileged\":true}"}}}}}}}"#;
        let out = masked(text);
        for secret in ["one", "two", "333"] {
            assert!(!out.contains(secret), "{secret} in {out}");
        }
        assert!(out.contains(r#"\"HostConfig\":{\"Privileged\":true}"#), "{out}");
        assert_eq!(out.len(), text.len());
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
