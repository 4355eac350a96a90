//! Environment variables, from both places where a deployment writes them.

use core::net::Ipv4Addr;

use super::Module;
use crate::finding::Fix;
use crate::text::{At, Document, Kind, NodeId, Path, Span};

/// One environment variable of a module.
#[derive(Debug, Clone, Copy)]
pub struct EnvVar<'m> {
    /// Its name.
    pub name: &'m str,
    /// Its value; empty where none is given.
    pub value: &'m str,
    /// The member of `env`, or the element of `Env`.
    pub at: At<'m>,
    /// Where the value starts within the text of `at`, for `Env` elements.
    value_start: Option<usize>,
}

/// Where a variable stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum EnvPlace {
    /// A member of the module's `env`: `"NAME": { "value": … }`; the value alone is accepted (`corpus.md` quirk 11).
    Module { member: NodeId, value: Option<NodeId> },
    /// An element of the createOptions' `Env`: `"NAME=value"`, split at the first `=` (`k8s-translation.md` §1.2).
    Options { element: NodeId, name: usize },
}

impl EnvPlace {
    pub(super) fn of_module(member: At<'_>) -> Self {
        EnvPlace::Module { member: member.id(), value: value_at(member).map(At::id) }
    }

    /// Elements without `=` set nothing.
    pub(super) fn of_options(element: At<'_>) -> Option<Self> {
        let name = element.as_str()?.bytes().position(|byte| byte == b'=')?;
        Some(EnvPlace::Options { element: element.id(), name })
    }
}

impl<'m> EnvVar<'m> {
    pub(super) fn read(document: &'m Document, place: EnvPlace) -> Self {
        match place {
            EnvPlace::Module { member, value } => {
                let at = document.at(member);
                let value = value.and_then(|value| document.at(value).as_text()).unwrap_or_default();
                Self { name: at.key().unwrap_or_default(), value, at, value_start: None }
            }
            EnvPlace::Options { element, name } => {
                let at = document.at(element);
                let text = at.as_str().unwrap_or_default();
                Self { name: &text[..name], value: &text[name + 1..], at, value_start: Some(name + 1) }
            }
        }
    }

    /// The bytes of the name.
    pub fn name_span(&self) -> Span {
        if self.is_in_options() { self.at.part(0..self.name.len()) } else { self.at.key_span() }
    }

    /// Whether it stands in the createOptions.
    pub fn is_in_options(&self) -> bool {
        self.value_start.is_some()
    }

    /// The bytes of `range` of the value.
    pub fn value_part(&self, range: std::ops::Range<usize>) -> Span {
        match self.value_start {
            Some(start) => self.at.part(start + range.start..start + range.end),
            None => self.value_at().map_or(self.at.span(), |at| match at.kind() {
                Kind::String => at.part(range),
                _ => at.span(),
            }),
        }
    }

    /// The bytes of the whole value.
    pub fn value_span(&self) -> Span {
        self.value_part(0..self.value.len())
    }

    /// The path to remove, and for `Env` elements also the one to replace.
    pub fn path(&self) -> Path {
        self.at.path()
    }

    /// The edit-ready form of this variable with another value: where to put it, and what.
    pub fn with_value(&self, value: &str) -> (Path, serde_json::Value) {
        match self.value_start {
            Some(_) => (self.path(), format!("{}={value}", self.name).into()),
            None => (self.value_at().map_or_else(|| self.path().key("value"), At::path), value.into()),
        }
    }

    /// Adds to `fix` that the variable gets another name.
    #[must_use]
    pub fn renamed(&self, fix: Fix, name: &str) -> Fix {
        match self.value_start {
            Some(_) => fix.replace(self.path(), 0..self.name.len(), name),
            None => fix.rename(self.path(), name),
        }
    }

    /// Adds to `fix` that `range` of the value is replaced; the rest of the value is in no edit.
    #[must_use]
    pub fn replaced(&self, fix: Fix, range: std::ops::Range<usize>, with: &str) -> Fix {
        match (self.value_start, self.value_at()) {
            (Some(start), _) => fix.replace(self.path(), start + range.start..start + range.end, with),
            (None, Some(at)) => fix.replace(at.path(), range, with),
            (None, None) => fix,
        }
    }

    /// Whether it names a web proxy: `https_proxy` or `http_proxy`, in lower or upper case, with a value.
    pub fn is_proxy(&self) -> bool {
        let is_named = ["https_proxy", "http_proxy"].iter().any(|name| self.name.eq_ignore_ascii_case(name));
        is_named && !self.value.trim().is_empty()
    }

    fn value_at(&self) -> Option<At<'m>> {
        value_at(self.at)
    }
}

/// The value of a member of `env`.
fn value_at(member: At<'_>) -> Option<At<'_>> {
    if member.kind() == Kind::Object { member.get_ignoring_case("value") } else { Some(member) }
}

/// Whether the value of a `no_proxy` covers `host`: by its name, by a domain that it is in, by `*`, or an address by a network
/// that it is in (`172.28.0.0/16`), which not every program understands.
pub(crate) fn excepts(list: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address: Option<Ipv4Addr> = host.parse().ok();
    list.split([',', ';', ' ']).any(|entry| {
        if address.is_some_and(|address| is_in(entry, address)) {
            return true;
        }
        let entry = entry.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        let domain = host.strip_suffix(&entry).filter(|_| !entry.is_empty());
        entry == "*" || domain.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether `address` is in the network that `entry` writes: `172.28.0.0/16`.
fn is_in(entry: &str, address: Ipv4Addr) -> bool {
    let network = entry.split_once('/').and_then(|(start, bits)| {
        let (start, bits) = (start.parse::<Ipv4Addr>().ok()?, bits.parse::<u32>().ok()?);
        Some((start, u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0)))
    });
    network.is_some_and(|(start, mask)| u32::from(start) & mask == u32::from(address) & mask)
}

impl<'m> Module<'m> {
    /// The variable `storageFolder`, which tells edgeHub where to keep messages; .NET programs know no case, and of two
    /// the later wins.
    pub(crate) fn storage_folder(self) -> Option<EnvVar<'m>> {
        self.env().into_iter().rfind(|var| var.name.eq_ignore_ascii_case("storageFolder") && !var.value.is_empty())
    }

    /// Adds to `fix` that the variable `name` is set beside `other`, in the same of the two places.
    #[must_use]
    pub(crate) fn set_beside(self, fix: Fix, other: &EnvVar<'m>, name: &str, value: &str) -> Fix {
        if other.is_in_options() {
            fix.append(self.option_path(&["Env"]), format!("{name}={value}"))
        } else {
            fix.set(self.entry().path().key("env").key(name).key("value"), value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::excepts;

    #[test]
    fn exceptions_are_names_domains_and_everything() {
        for (list, host) in [
            ("a,localhost", "localhost"),
            ("*", "x"),
            (".svc", "cache.iotedge.svc"),
            ("*.b", "a.b"),
            ("Cache", "cache"),
            ("a 172.28.0.0/16", "172.28.3.4"),
            ("0.0.0.0/0", "172.28.3.4"),
            ("172.28.3.4/32,b", "172.28.3.4"),
        ] {
            assert!(excepts(list, host), "{list} {host}");
        }
        for (list, host) in [
            ("", "localhost"),
            ("ache", "cache"),
            ("localhost2", "localhost"),
            (",,", "x"),
            ("172.28.0.0/16", "172.27.0.1"),
            ("172.28.0.0/33", "172.28.0.1"),
            ("1.2.3.0/24", "1.2.3.x"),
        ] {
            assert!(!excepts(list, host), "{list} {host}");
        }
    }
}
