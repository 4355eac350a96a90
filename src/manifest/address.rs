//! Addresses in what a module is started with: which hosts it will call, and where that is written.

use core::net::Ipv4Addr;
use std::ops::Range;

use super::{EnvVar, Module};
use crate::finding::Fix;
use crate::text::{At, Kind, Span};

/// What stands between the scheme of a URL and its host.
const MARK: &[u8] = b"://";

/// One string that a module is started with: the value of an environment variable, an element of `Cmd` or
/// `Entrypoint`, or a string of its desired properties.
#[derive(Debug, Clone, Copy)]
pub struct Argument<'m> {
    /// What it says.
    pub text: &'m str,
    /// What it is for: the name of the variable or property, or the flag before it.
    pub name: Option<&'m str>,
    origin: Origin<'m>,
}

#[derive(Debug, Clone, Copy)]
enum Origin<'m> {
    Variable(EnvVar<'m>),
    String(At<'m>),
}

/// A host in an [`Argument`], and its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address<'m> {
    /// The host, as written.
    pub host: &'m str,
    /// Its bytes in the text of the argument.
    pub host_range: Range<usize>,
    /// The port that is written, or that the scheme of the URL implies; none where a placeholder or nothing tells it.
    pub port: Option<u16>,
    /// The bytes of the port, where it is written.
    pub port_range: Option<Range<usize>>,
    /// The scheme of a URL.
    pub scheme: Option<&'m str>,
}

impl<'m> Argument<'m> {
    fn of_variable(variable: EnvVar<'m>) -> Self {
        Self { text: variable.value, name: Some(variable.name), origin: Origin::Variable(variable) }
    }

    fn of_string(at: At<'m>, name: Option<&'m str>) -> Option<Self> {
        Some(Self { text: at.as_str()?, name, origin: Origin::String(at) })
    }

    /// The bytes of `range` of the text.
    pub fn part(&self, range: Range<usize>) -> Span {
        match self.origin {
            Origin::Variable(variable) => variable.value_part(range),
            Origin::String(at) => at.part(range),
        }
    }

    /// Adds to `fix` that `range` of the text is replaced; the rest of the text is in no edit.
    #[must_use]
    pub fn replaced(&self, fix: Fix, range: Range<usize>, with: &str) -> Fix {
        match self.origin {
            Origin::Variable(variable) => variable.replaced(fix, range, with),
            Origin::String(at) => fix.replace(at.path(), range, with),
        }
    }

    /// The hosts that the text names: in URLs, as `host:port`, as `tcp:host,port`, and as the whole text where the
    /// name of the argument says that it is a host. A name alone, or in a path, is no address.
    pub fn addresses(&self) -> Vec<Address<'m>> {
        let (name, start) = self.flag();
        let with_port = || !name.is_some_and(|name| says(name, &["image", "tag", "version"]));
        let has_separator = self.text.contains([':', ',']);
        let judge = |run: Range<usize>| {
            let written =
                || in_url(self.text, &run).or_else(|| with_written_port(self.text, &run).filter(|_| with_port()));
            has_separator.then(written).flatten().or_else(|| {
                let whole = self.text[start..].trim() == &self.text[run.clone()];
                (whole && name.is_some_and(says_host)).then(|| Address::new(self.text, run.clone(), None, None))
            })
        };
        runs(self.text).filter_map(judge).collect()
    }

    /// The IPv4 addresses that the text names, each with its bytes and the port behind it. A network (`10.0.0.0/8`) is
    /// no address, nor is part of a longer number or name.
    pub fn ipv4(&self) -> Vec<(Ipv4Addr, Range<usize>, Option<u16>)> {
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let judge = |run: Range<usize>| {
            let after = &self.text[run.end..];
            let network = after.strip_prefix('/').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            let address = self.text[run.clone()].parse().ok().filter(|_| !network)?;
            let digits = after.strip_prefix(':').map(|rest| rest.split(|c| !of_name(c)).next().unwrap_or_default());
            Some((address, run, digits.and_then(|digits| digits.parse().ok())))
        };
        runs(self.text).filter_map(judge).collect()
    }

    /// The port on which the module itself seems to listen, and its bytes: a number alone, unless the name of the
    /// argument speaks of something else, or one behind an address that means every interface (`http://+:5000`).
    pub fn own_port(&self) -> Option<(u16, Range<usize>)> {
        let (name, start) = self.flag();
        let value = &self.text[start..];
        let number = |range: Range<usize>| Some((self.text[range.clone()].parse().ok()?, range));
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            let of_port = name.is_none_or(|name| parts(name).any(|part| part.eq_ignore_ascii_case("port")));
            return if of_port { number(start..self.text.len()) } else { None };
        }
        let every = ["0.0.0.0:", "[::]:", "*:", "+:"].iter().find_map(|host| {
            let at = start + value.find(host)?;
            // `10.0.0.0:` is another host.
            let begins = !self.text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.');
            begins.then_some(at + host.len())
        });
        let from = every.or_else(|| value.starts_with(':').then_some(start + 1))?;
        let digits = self.text[from..].bytes().take_while(u8::is_ascii_digit).count();
        number(from..from + digits)
    }

    /// What the argument is for, and where its value starts: `--port=5000` names itself.
    fn flag(&self) -> (Option<&'m str>, usize) {
        match self.text.split_once('=') {
            Some((flag, _)) if flag.starts_with('-') => (Some(flag), flag.len() + 1),
            _ => (self.name, 0),
        }
    }
}

impl<'m> Address<'m> {
    fn new(
        text: &'m str,
        host: Range<usize>,
        port: Option<(u16, Option<Range<usize>>)>,
        scheme: Option<&'m str>,
    ) -> Self {
        let (port, port_range) = port.map_or((None, None), |(port, range)| (Some(port), range));
        Self { host: &text[host.clone()], host_range: host, port, port_range, scheme }
    }

    /// Host and port as they are written.
    pub fn range(&self) -> Range<usize> {
        self.host_range.start..self.port_range.as_ref().unwrap_or(&self.host_range).end
    }
}

impl<'m> Module<'m> {
    /// Everything that the module is started with: environment, `Entrypoint`, `Cmd`, desired properties of its twin.
    pub fn arguments(self) -> Vec<Argument<'m>> {
        let mut arguments: Vec<_> = self.env().into_iter().map(Argument::of_variable).collect();
        for key in ["Entrypoint", "Cmd"] {
            let mut flag = None;
            for element in self.option(&[key]).into_iter().flat_map(At::items) {
                arguments.extend(Argument::of_string(element, flag));
                flag = element.as_str().filter(|text| text.starts_with('-'));
            }
        }
        let mut open: Vec<At<'m>> = self.twin().collect();
        while let Some(at) = open.pop() {
            arguments.extend(Argument::of_string(at, at.key()));
            let children: Vec<_> = if at.kind() == Kind::Array { at.items().collect() } else { at.members().collect() };
            open.extend(children.into_iter().rev());
        }
        arguments
    }
}

/// The maximal runs of characters that a host name is made of.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> {
    let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.as_bytes()[at..].iter().position(of_host)?;
        at =
            text.as_bytes()[start..].iter().position(|byte| !of_host(byte)).map_or(text.len(), |length| start + length);
        Some(start..at)
    })
}

/// `run` as the host of the URL around it.
fn in_url<'m>(text: &'m str, run: &Range<usize>) -> Option<Address<'m>> {
    let start = text.as_bytes()[..run.start].windows(MARK.len()).rposition(|bytes| bytes == MARK)? + MARK.len();
    let end = text[start..]
        .find(|c: char| "/?#,;|\"'".contains(c) || c.is_whitespace())
        .map_or(text.len(), |length| start + length);
    let host = text[start..end].rfind('@').map_or(start, |at| start + at + 1);
    if run.start != host {
        return None;
    }
    let scheme =
        text[..start - MARK.len()].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or_default();
    let port = match text[run.end..end].strip_prefix(':') {
        Some(digits) => digits.parse().ok().filter(|port| *port > 0).map(|port| (port, Some(run.end + 1..end))),
        None if run.end == end => default_port(scheme).map(|port| (port, None)),
        None => return None,
    };
    Some(Address::new(text, run.clone(), port, Some(scheme)))
}

/// `run` as the host of `host:port`, or of `tcp:host,port` as SQL clients write it.
fn with_written_port<'m>(text: &'m str, run: &Range<usize>) -> Option<Address<'m>> {
    let (before, after) = (&text[..run.start], &text[run.end..]);
    let sql = before.get(before.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case("tcp:"));
    let starts = before.is_empty() || before.ends_with(|c: char| " \t\n\r,;=([|@\"'".contains(c)) || sql;
    let digits = after.strip_prefix(if sql && after.starts_with(',') { ',' } else { ':' })?;
    let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let ends = digits[length..].chars().next().is_none_or(|c| "/,;|)]#&?\"'".contains(c) || c.is_whitespace());
    let port: u16 = digits[..length].parse().ok().filter(|port| *port > 0)?;
    let named = text[run.clone()].contains(|c: char| c.is_ascii_alphabetic());
    let range = run.end + 1..run.end + 1 + length;
    (starts && ends && named).then(|| Address::new(text, run.clone(), Some((port, Some(range))), None))
}

/// The port that a URL without one means.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "rtsp" => Some(554),
        _ => None,
    }
}

/// Whether a name says that its value is a host: `RTSP_IP`, `redisHost`, `--server`.
fn says_host(name: &str) -> bool {
    says(name, &["host", "hostname", "server", "address", "addr", "endpoint", "url", "uri", "broker", "ip"])
}

/// Whether a word of `name` is one of `words`; the last part of a word in one case counts (`REDISHOST`), if it is not
/// as short as `ip`.
fn says(name: &str, words: &[&str]) -> bool {
    let is = |part: &str, word: &str| {
        let end = part.len().checked_sub(word.len());
        end.is_some_and(|end| (end == 0 || word.len() > 3) && part[end..].eq_ignore_ascii_case(word))
    };
    parts(name).any(|part| words.iter().any(|word| is(part, word)))
}

/// The words of a name: `redisHost`, `REDIS_HOST` and `--redis-host` are `redis` and `host`, in some case.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let word = |part: &str| {
        let bytes = part.as_bytes();
        let starts = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
        bytes.windows(2).position(starts).map_or(part.len(), |last| last + 1)
    };
    name.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(move |mut rest| {
        std::iter::from_fn(move || {
            let (part, after) = rest.split_at(word(rest));
            rest = after;
            (!part.is_empty()).then_some(part)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;
    use crate::text::Source;

    /// `host`, port and the bytes of both, in what `entry` (`NAME=value`) says.
    fn found(entry: &str) -> Vec<(String, Option<u16>, String)> {
        let text = serde_json::json!({ "Env": [entry] }).to_string();
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let module = manifest.modules().next().unwrap();
        let argument = module.arguments()[0];
        let show = |a: Address<'_>| (a.host.to_owned(), a.port, argument.text[a.range()].to_owned());
        argument.addresses().into_iter().map(show).collect()
    }

    fn one(entry: &str, host: &str, port: impl Into<Option<u16>>, bytes: &str) {
        assert_eq!(found(entry), [(host.to_owned(), port.into(), bytes.to_owned())], "{entry}");
    }

    #[test]
    fn urls() {
        one("A=http://image-classifier:80/image", "image-classifier", 80, "image-classifier:80");
        one("A=http://classifier/image", "classifier", 80, "classifier");
        one("A=https://grid", "grid", 443, "grid");
        one("A=amqp://me:80@queue:5672/x", "queue", 5672, "queue:5672");
        one("A=http://web:${PORT}/x", "web", None, "web");
        one("A=redis://cache", "cache", None, "cache");
        one("A=\u{e9}http://cache", "cache", 80, "cache");
        one("A=BlobEndpoint=http://blobs:11002/otel;AccountName=otel;", "blobs", 11002, "blobs:11002");
    }

    #[test]
    fn hosts_with_ports() {
        one("A=registry:5000", "registry", 5000, "registry:5000");
        one("A=PLAINTEXT;kafka:9092/x", "kafka", 9092, "kafka:9092");
        one("A=Server=tcp:sql,1433;Initial Catalog=F", "sql", 1433, "sql,1433");
        assert_eq!(found("A=kafka-1:9092,kafka-2:9092").len(), 2);
        assert_eq!(found("A=http://edgeAgent:9600/metrics, http://edgeHub:9600/metrics").len(), 2);
    }

    #[test]
    fn a_name_alone_counts_where_the_variable_says_host() {
        one("RTSP_IP=camera", "camera", None, "camera");
        one("redisHost=cache", "cache", None, "cache");
        one("REDISHOST=cache", "cache", None, "cache");
        for entry in ["TargetModuleId=receiver", "ML_MODULE_NAME=scorer", "SCRIPT=camera", "RTSP_HOST=my camera"] {
            assert_eq!(found(entry), [], "{entry}");
        }
    }

    #[test]
    fn paths_tags_times_and_words_are_no_addresses() {
        let entries = [
            "PREFIX=/api/v1",
            "PATH=/usr/bin:/bin",
            "URL=/api:80",
            "BASE_IMAGE=redis:6",
            "IMAGE_TAG=redis:6",
            "AT=12:30",
            "TEXT=api: 80",
            "TEXT=api:80x",
            "TEXT=api:99999",
            "ROUTE=FROM /messages/modules/camera/outputs/*",
        ];
        for entry in entries {
            assert_eq!(found(entry), [], "{entry}");
        }
    }

    #[test]
    fn ipv4_addresses() {
        let found = |value: &str| {
            let text = serde_json::json!({ "Env": [format!("A={value}")] }).to_string();
            let manifest = Manifest::read(&Source::new("t", text)).unwrap();
            let addresses = manifest.modules().next().unwrap().arguments()[0].ipv4();
            addresses.into_iter().map(|(address, _, port)| (address.to_string(), port)).collect::<Vec<_>>()
        };
        assert_eq!(found("mqtts://10.1.2.3:8883/x"), [("10.1.2.3".to_owned(), Some(8883))]);
        assert_eq!(found("10.1.2.3, 10.1.2.4"), [("10.1.2.3".to_owned(), None), ("10.1.2.4".to_owned(), None)]);
        for value in ["172.28.0.0/16", "v1.2.3.4", "1.2.3.4-rc", "1.2.3.4.5", "1.2.3", "300.1.2.3"] {
            assert_eq!(found(value), [], "{value}");
        }
    }

    #[test]
    fn own_ports() {
        let own = |options: serde_json::Value| {
            let text = options.to_string();
            let manifest = Manifest::read(&Source::new("t", text.as_str())).unwrap();
            let module = manifest.modules().next().unwrap();
            module.arguments().iter().find_map(Argument::own_port).map(|(port, _)| port)
        };
        for env in ["LISTEN_PORT=5000", "port=5000", "URLS=http://+:5000", "BIND=0.0.0.0:5000", "ADDR=:5000"] {
            assert_eq!(own(serde_json::json!({ "Env": [env] })), Some(5000), "{env}");
        }
        for cmd in [&["--port=5000"] as &[&str], &["--port", "5000"], &["serve", "5000"], &["--urls", "http://*:5000"]]
        {
            assert_eq!(own(serde_json::json!({ "Cmd": cmd })), Some(5000), "{cmd:?}");
        }
        for env in
            ["REPORT_INTERVAL=5000", "TIMEOUT=5000", "PEER=10.0.0.0:5000", "PORT=${P}", "URL=http://localhost:5000"]
        {
            assert_eq!(own(serde_json::json!({ "Env": [env] })), None, "{env}");
        }
    }

    #[test]
    fn commands_and_twins_are_read_and_changed() {
        let text = r#"{"modulesContent": {
            "$edgeAgent": {"properties.desired": {"modules": {"m": {"settings": {"createOptions": {
                "Cmd": ["--host", "cache", "--broker=queue", "--web=http://web:80/"]}}}}}},
            "m": {"properties.desired": {"sinks": [{"endpoint": "sink"}, "http://other:1"], "module": "sink"}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let module = manifest.modules().next().unwrap();
        let arguments = module.arguments();
        let hosts: Vec<_> = arguments.iter().flat_map(Argument::addresses).map(|a| a.host).collect();
        assert_eq!(hosts, ["cache", "queue", "web", "sink", "other"]);
        let web = arguments.iter().find(|argument| argument.text.contains("web:80")).unwrap();
        let address = &web.addresses()[0];
        let fix = web.replaced(Fix::safe("x"), address.port_range.clone().unwrap(), "8080");
        let edits = fix.edits;
        assert_eq!(edits[0].path(), &module.option_path(&["Cmd"]).index(3));
        assert!(crate::text::apply(&Source::new("t", text), &edits).unwrap().contains("--web=http://web:8080/"));
    }
}
