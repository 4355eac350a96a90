//! The parts of Docker's create options that move: binds, mounts and ports.

use crate::text::{At, Kind, Span};

/// One entry of `HostConfig.Binds`: `source:target[:mode]`.
#[derive(Debug, Clone, Copy)]
pub struct Bind<'m> {
    /// The array element.
    pub at: At<'m>,
    /// The host path, volume name or placeholder.
    pub source: &'m str,
    /// The path in the container; empty where the entry has none.
    pub target: &'m str,
    /// `ro`, `rw`, `z` …; empty where none is given.
    pub mode: &'m str,
}

impl<'m> Bind<'m> {
    /// Takes an entry apart. A drive letter is not split off (`C:/a:/b`, `corpus.md` quirk 22), nor is a
    /// placeholder such as `${A:-b}`.
    pub(super) fn read(at: At<'m>) -> Option<Self> {
        let text = at.as_str()?;
        let mut parts = split(text).into_iter();
        let source = parts.next()?;
        Some(Self { at, source, target: parts.next().unwrap_or_default(), mode: parts.next().unwrap_or_default() })
    }

    /// The bytes of the source.
    pub fn source_span(&self) -> Span {
        self.at.part(0..self.source.len())
    }

    /// Whether it is mounted read-only: the agent looks for `ro` anywhere in the mode (`k8s-translation.md` §1.3).
    pub fn is_read_only(&self) -> bool {
        self.mode.contains("ro")
    }

    /// Whether the source is, or starts with, a placeholder that a tool fills in.
    pub fn is_placeholder(&self) -> bool {
        let source = self.source.trim_start_matches('/');
        ["$", "<", "#{", "__"].iter().any(|mark| source.starts_with(mark))
    }
}

/// Splits at `:` outside of `${…}`, `<…>` and `#{…}`, and not after a drive letter at the start of a part.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' | b'<' => depth += 1,
            b'}' | b'>' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => {
                let drive = i == start + 1
                    && bytes[start].is_ascii_alphabetic()
                    && matches!(bytes.get(i + 1), Some(b'/' | b'\\'))
                    // `a:/b` with nothing behind is a volume of one letter, `C:/a:/b` has a second colon.
                    && text[i + 1..].contains(':');
                if !drive {
                    parts.push(&text[start..i]);
                    start = i + 1;
                }
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Whether an option says anything: null, `false`, 0 and empty texts, lists and objects are what Docker takes where
/// nothing is written. A placeholder says nothing yet.
pub(crate) fn is_given(at: At<'_>) -> bool {
    match at.kind() {
        Kind::Null => false,
        Kind::Bool(value) => value,
        Kind::Number => at.as_i64() != Some(0),
        Kind::String => {
            let text = at.as_str().unwrap_or_default().trim();
            !text.is_empty() && !text.eq_ignore_ascii_case("false") && !super::is_placeholder(text)
        }
        Kind::Array => at.items().len() > 0,
        Kind::Object => at.members().len() > 0,
    }
}

/// One entry of `HostConfig.Mounts`.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'m> {
    /// The array element.
    pub at: At<'m>,
    /// `Type`, as written.
    pub kind: Option<At<'m>>,
    /// `Source`.
    pub source: Option<At<'m>>,
    /// `Target`.
    pub target: Option<At<'m>>,
    /// `ReadOnly`; a string counts as the boolean it spells.
    pub read_only: bool,
}

impl<'m> Mount<'m> {
    pub(super) fn read(at: At<'m>) -> Self {
        let get = |key: &str| at.get_ignoring_case(key).filter(|value| value.kind() == Kind::String);
        let read_only = at.get_ignoring_case("ReadOnly").and_then(At::as_bool).unwrap_or(false);
        Self { at, kind: get("Type"), source: get("Source"), target: get("Target"), read_only }
    }

    /// Whether `Type` is `kind`, compared without regard to case as the agent does.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.and_then(At::as_str).is_some_and(|text| text.eq_ignore_ascii_case(kind))
    }
}

/// A transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, also where none is written.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// One host port of `HostConfig.PortBindings`.
#[derive(Debug, Clone, Copy)]
pub struct PortBinding<'m> {
    /// The member `"5000/tcp": […]`.
    pub at: At<'m>,
    /// The container's port.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// `HostPort`, where it is a number; a placeholder or nothing is none.
    pub host: Option<u16>,
    /// The `HostPort` value.
    pub host_at: Option<At<'m>>,
}

impl Protocol {
    /// As it is written in a port key: `tcp`, `udp`, `sctp`.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }
}

impl<'m> PortBinding<'m> {
    /// The host ports of one member; keys that are no port give none (rule NET-005 reports them).
    pub(super) fn read(member: At<'m>) -> Vec<Self> {
        let Some((container, protocol)) = member.key().and_then(port) else { return Vec::new() };
        let bindings = member.items().map(|item| {
            let host_at = item.get_ignoring_case("HostPort");
            let host = host_at.and_then(At::as_text).and_then(|text| text.trim().parse().ok());
            Self { at: member, container, protocol, host, host_at }
        });
        bindings.collect()
    }
}

/// A port key: `<int>[/<protocol>]`, TCP where none is given (`k8s-translation.md` §3).
pub(crate) fn port(key: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    number.trim().parse().ok().map(|number| (number, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_split_where_people_mean_it() {
        assert_eq!(split("/a:/b:ro"), ["/a", "/b", "ro"]);
        assert_eq!(split("C:/a:/b"), ["C:/a", "/b"]);
        assert_eq!(split("C:\\a:D:/b"), ["C:\\a", "D", "/b"]);
        assert_eq!(split("d:/data"), ["d", "/data"]);
        assert_eq!(split("${A:-/x}:/b"), ["${A:-/x}", "/b"]);
        assert_eq!(split("<Host path: here>:/b"), ["<Host path: here>", "/b"]);
        assert_eq!(split("$VAR:/path"), ["$VAR", "/path"]);
        assert_eq!(split("only"), ["only"]);
    }

    #[test]
    fn port_keys() {
        assert_eq!(port("80"), Some((80, Protocol::Tcp)));
        assert_eq!(port("53/UDP"), Some((53, Protocol::Udp)));
        assert_eq!(port("8000-8010/tcp"), None);
        assert_eq!(port("80/http"), None);
    }
}
