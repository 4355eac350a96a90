//! The parts of Docker's create options that move: binds, mounts and ports.

use super::HostPath;
use super::placeholder::{has_placeholder, outside};
use crate::finding::Fix;
use crate::text::{At, Document, Kind, NodeId, Span};

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

/// Where an entry of `Binds` stands, and how long its parts are, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BindPlace {
    at: NodeId,
    source: usize,
    target: Option<usize>,
    mode: Option<usize>,
}

impl BindPlace {
    /// Takes an entry apart. A drive letter is not split off (`C:/a:/b`, `corpus.md` quirk 22), nor is a
    /// placeholder such as `${A:-b}`.
    pub(super) fn of(at: At<'_>) -> Option<Self> {
        let mut parts = split(at.as_str()?).into_iter().map(str::len);
        Some(Self { at: at.id(), source: parts.next()?, target: parts.next(), mode: parts.next() })
    }
}

impl<'m> Bind<'m> {
    pub(super) fn read(document: &'m Document, place: &BindPlace) -> Self {
        let at = document.at(place.at);
        let (source, rest) = at.as_str().unwrap_or_default().split_at(place.source);
        let part = |from: usize, length: Option<usize>| length.map_or("", |length| &rest[from..from + length]);
        // A `:` stands before each part.
        let target = part(1, place.target);
        Self { at, source, target, mode: part(target.len() + 2, place.mode) }
    }

    /// The bytes of the source.
    pub fn source_span(&self) -> Span {
        self.at.part(0..self.source.len())
    }

    /// The bytes of the target.
    pub fn target_span(&self) -> Span {
        let start = self.source.len() + 1;
        self.at.part(start..start + self.target.len())
    }

    /// Whether what it binds cannot be told: a placeholder may stand for the whole entry (`corpus.md` quirk 22).
    pub fn is_hidden(&self) -> bool {
        self.target.is_empty() && has_placeholder(self.source)
    }

    /// Whether it is mounted read-only: the agent looks for `ro` anywhere in the mode (`k8s-translation.md` §1.3).
    pub fn is_read_only(&self) -> bool {
        self.mode.contains("ro")
    }
}

/// Splits at `:` outside of placeholders, and not after a drive letter at the start of a part.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let bytes = text.as_bytes();
    for (i, _) in outside(text).filter(|(_, byte)| *byte == b':') {
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
            !text.is_empty() && !text.eq_ignore_ascii_case("false") && !has_placeholder(text)
        }
        Kind::Array => at.items().len() > 0,
        Kind::Object => at.members().len() > 0,
    }
}

/// One entry of `HostConfig.Mounts`.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'m> {
    /// Its place in the array, from 0.
    pub index: usize,
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

/// Where the parts of a mount stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct MountPlace {
    index: usize,
    at: NodeId,
    kind: Option<NodeId>,
    source: Option<NodeId>,
    target: Option<NodeId>,
    read_only: bool,
}

impl MountPlace {
    pub(super) fn of(index: usize, at: At<'_>) -> Self {
        let get = |key: &str| at.get_ignoring_case(key).filter(|value| value.kind() == Kind::String).map(At::id);
        let read_only = at.get_ignoring_case("ReadOnly").and_then(At::as_bool).unwrap_or(false);
        Self { index, at: at.id(), kind: get("Type"), source: get("Source"), target: get("Target"), read_only }
    }
}

impl<'m> Mount<'m> {
    pub(super) fn read(document: &'m Document, place: &MountPlace) -> Self {
        let MountPlace { index, at, kind, source, target, read_only } = *place;
        let at_of = |id: Option<NodeId>| id.map(|id| document.at(id));
        Self { index, at: document.at(at), kind: at_of(kind), source: at_of(source), target: at_of(target), read_only }
    }

    /// Whether `Type` is `kind`, compared without regard to case as the agent does.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.and_then(At::as_str).is_some_and(|text| text.eq_ignore_ascii_case(kind))
    }
}

/// A path of the host in a container, in either of the two ways to write it.
#[derive(Debug, Clone, Copy)]
pub enum HostMount<'m> {
    /// An entry of `Binds` with a target; the agent drops one without.
    Bind(Bind<'m>),
    /// An entry of `Mounts` of type `bind` with a source.
    Mount(Mount<'m>),
}

impl<'m> HostMount<'m> {
    /// The array element.
    pub fn at(&self) -> At<'m> {
        match self {
            HostMount::Bind(bind) => bind.at,
            HostMount::Mount(mount) => mount.at,
        }
    }

    /// The path of the host.
    pub fn source(&self) -> &'m str {
        match self {
            HostMount::Bind(bind) => bind.source,
            HostMount::Mount(mount) => mount.source.and_then(At::as_str).unwrap_or_default(),
        }
    }

    /// What that path is.
    pub fn host_path(&self) -> HostPath<'m> {
        HostPath::of(self.source())
    }

    /// The bytes of the source.
    pub fn source_span(&self) -> Span {
        match self {
            HostMount::Bind(bind) => bind.source_span(),
            HostMount::Mount(mount) => mount.source.unwrap_or(mount.at).part(0..self.source().len()),
        }
    }

    /// Adds to `fix` that the path of the host becomes `path`.
    #[must_use]
    pub fn rebound(&self, fix: Fix, path: &str) -> Fix {
        match self {
            HostMount::Bind(bind) => fix.replace(bind.at.path(), 0..bind.source.len(), path),
            HostMount::Mount(mount) => fix.set(mount.source.unwrap_or(mount.at).path(), path),
        }
    }

    /// The path in the container; empty where a mount has none.
    pub fn target(&self) -> &'m str {
        match self {
            HostMount::Bind(bind) => bind.target,
            HostMount::Mount(mount) => mount.target.and_then(At::as_str).unwrap_or_default(),
        }
    }
}

/// One entry of `HostConfig.Devices`.
#[derive(Debug, Clone, Copy)]
pub struct Device<'m> {
    /// The array element.
    pub at: At<'m>,
    /// `PathOnHost`.
    pub path: At<'m>,
}

impl<'m> Device<'m> {
    pub(super) fn read(at: At<'m>) -> Option<Self> {
        let path = at.get_ignoring_case("PathOnHost").filter(|path| path.kind() == Kind::String)?;
        Some(Self { at, path })
    }

    /// The path below `/dev`: `video0`. Real manifests forget the first `/` or leave a blank at the end
    /// (`corpus.md` quirk 25).
    pub fn name(&self) -> &'m str {
        let path = self.path.as_str().unwrap_or_default().trim();
        let path = path.trim_start_matches('/');
        path.strip_prefix("dev/").unwrap_or(path)
    }

    /// The bytes of the path.
    pub fn path_span(&self) -> Span {
        self.path.part(0..self.path.as_str().unwrap_or_default().len())
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

/// Where a host port stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortPlace {
    at: NodeId,
    container: u16,
    protocol: Protocol,
    host: Option<u16>,
    host_at: Option<NodeId>,
}

impl PortPlace {
    /// The host ports of one member; keys that are no port give none (rule NET-005 reports them).
    pub(super) fn of(member: At<'_>) -> impl Iterator<Item = Self> {
        let key = member.key().and_then(port);
        let items = key.map(|key| member.items().map(move |item| (key, item)));
        items.into_iter().flatten().map(move |((container, protocol), item)| {
            let host_at = item.get_ignoring_case("HostPort");
            let host = host_at.and_then(At::as_text).and_then(|text| text.trim().parse().ok());
            Self { at: member.id(), container, protocol, host, host_at: host_at.map(At::id) }
        })
    }
}

impl<'m> PortBinding<'m> {
    pub(super) fn read(document: &'m Document, place: &PortPlace) -> Self {
        let PortPlace { at, container, protocol, host, host_at } = *place;
        Self { at: document.at(at), container, protocol, host, host_at: host_at.map(|id| document.at(id)) }
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
    use crate::manifest::{Manifest, Module};
    use crate::text::Source;

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
    fn host_paths_are_found_in_both_forms() {
        let text = r#"{"HostConfig": {
            "Binds": ["/a:/b:ro", "/no-target", "$X"],
            "Mounts": ["<more>", {"type": "BIND", "source": "/c", "target": "/d"}, {"Type": "volume", "Source": "e"}]}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let module = manifest.modules().next().unwrap();
        let bytes = |span| module.manifest().document().ranges(span).into_iter().map(|range| &text[range]).collect();
        let found: Vec<(&str, &str, String)> = module
            .host_mounts()
            .iter()
            .map(|mount| (mount.source(), mount.target(), bytes(mount.source_span())))
            .collect();
        assert_eq!(found, [("/a", "/b", "/a".to_owned()), ("/c", "/d", "/c".to_owned())]);
        assert_eq!(bytes(module.binds()[0].target_span()), "/b");
        assert_eq!(module.mounts()[0].index, 1);
    }

    #[test]
    fn devices_are_named_in_spite_of_slips() {
        let text = r#"{"HostConfig": {"Devices": [
            {"PathOnHost": "/dev/video0"}, {"pathonhost": "dev/nvhost-prof-gpu "}, {"PathInContainer": "/dev/x"}, "$D"]}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let names: Vec<&str> = manifest.modules().flat_map(Module::devices).map(|device| device.name()).collect();
        assert_eq!(names, ["video0", "nvhost-prof-gpu"]);
    }

    #[test]
    fn port_keys() {
        assert_eq!(port("80"), Some((80, Protocol::Tcp)));
        assert_eq!(port("53/UDP"), Some((53, Protocol::Udp)));
        assert_eq!(port("8000-8010/tcp"), None);
        assert_eq!(port("80/http"), None);
    }
}
