//! The desired properties that a deployment gives to modules, `$edgeHub` among them, and how large IoT Hub finds them.

use super::{Manifest, Module};
use crate::text::{At, Kind, compact};

/// Where the desired properties stand in a section, alone or as the start of a layered deployment's keys.
const DESIRED: &str = "properties.desired";

/// The most that the desired properties of one module may have, as [`Section::size`] counts (`iothub-limits.md` §1.1).
pub(crate) const MAX_SECTION: usize = 32 * 1024;

/// How tools cut createOptions that are longer (`migration-rules.md`, paths; `TwinValueMaxSize`).
const PIECE: usize = 512;

/// What a deployment says about one module's twin: `$edgeAgent`, `$edgeHub`, or a module of its own.
#[derive(Debug, Clone, Copy)]
pub struct Section<'m> {
    at: At<'m>,
}

impl Manifest {
    /// The sections, in the order of the document.
    pub fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        let has_desired = |at: &At<'_>| Section { at: *at }.desired().next().is_some();
        let around =
            super::sections(self.document().root()).into_iter().find(|at| at.members().any(|at| has_desired(&at)));
        around.into_iter().flat_map(At::members).filter(has_desired).map(|at| Section { at })
    }

    /// The section of the module `id`; `$edgeHub` for edgeHub.
    pub fn section(&self, id: &str) -> Option<Section<'_>> {
        self.sections().find(|section| section.id() == id)
    }
}

impl<'m> Section<'m> {
    pub(super) fn of(at: At<'m>) -> Self {
        Self { at }
    }

    /// Whose it is.
    pub fn id(self) -> &'m str {
        self.at.key().unwrap_or_default()
    }

    /// The member with its key.
    pub fn at(self) -> At<'m> {
        self.at
    }

    /// The members that hold desired properties: one `properties.desired`, or any number of `properties.desired.NAME`
    /// in a layered deployment.
    pub fn desired(self) -> impl Iterator<Item = At<'m>> {
        self.at.members().filter(|member| below(*member).is_some())
    }

    /// The desired property `key`, in either form.
    pub fn property(self, key: &str) -> Option<At<'m>> {
        self.desired().find_map(|member| match below(member) {
            Some("") => member.get(key),
            Some(name) => (name == key).then_some(member),
            None => None,
        })
    }

    /// The members of the desired property `key`, each with its name, in whatever form: below the property, or as keys
    /// `properties.desired.KEY.NAME` of a layered deployment.
    pub fn members_of(self, key: &str) -> Vec<(&'m str, At<'m>)> {
        let mut found = Vec::new();
        for member in self.desired() {
            let Some(name) = below(member) else { continue };
            let property = if name.is_empty() { member.get(key) } else { Some(member).filter(|_| name == key) };
            found.extend(property.into_iter().flat_map(At::members).filter_map(|at| Some((at.key()?, at))));
            let own = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.'));
            found.extend(own.map(|own| (own, member)));
        }
        found
    }

    /// How large IoT Hub finds it, in bytes: keys and strings by their length without control characters, 8 for a
    /// number, 4 for a boolean (`iothub-limits.md` §1.1). createOptions that are written as an object count as the
    /// strings that a tool makes of them.
    pub fn size(self) -> usize {
        let whole = |member: At<'_>| {
            let name = below(member).unwrap_or_default();
            length(name) + value_size(member)
        };
        self.desired().map(whole).sum()
    }
}

impl Module<'_> {
    /// How large its entry is to IoT Hub, counted as in [`Section::size`].
    pub(crate) fn size(self) -> usize {
        member_size(self.entry())
    }
}

/// What stands behind `properties.desired` in a key: nothing, or the path of a layered deployment.
fn below(member: At<'_>) -> Option<&str> {
    let rest = member.key()?.strip_prefix(DESIRED)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

fn value_size(at: At<'_>) -> usize {
    match at.kind() {
        Kind::Null => 0,
        Kind::Bool(_) => 4,
        Kind::Number => 8,
        Kind::String => length(at.as_str().unwrap_or_default()),
        Kind::Array => at.items().map(value_size).sum(),
        Kind::Object => at.members().map(member_size).sum(),
    }
}

fn member_size(member: At<'_>) -> usize {
    let key = member.key().unwrap_or_default();
    // IoT Hub keeps these itself and does not count them.
    if matches!(key, "$version" | "$metadata" | "$etag") {
        return 0;
    }
    if key.eq_ignore_ascii_case("createOptions") && member.kind() == Kind::Object {
        let text = length(&compact(member));
        let more = text.div_ceil(PIECE).saturating_sub(1);
        return text + length(key) + more * (length(key) + 2);
    }
    length(key) + value_size(member)
}

/// The bytes of `text` without its control characters, U+0000 to U+001F and U+007F to U+009F.
fn length(text: &str) -> usize {
    let bytes = text.as_bytes();
    // Counted in a byte, many at once.
    let count = |part: &[u8]| part.iter().map(|byte| u8::from(byte.is_ascii_control())).sum::<u8>();
    let c0: usize = bytes.chunks(usize::from(u8::MAX)).map(|part| usize::from(count(part))).sum();
    // They are two bytes each, the first of which is C2.
    let c1 = if bytes.contains(&0xc2) { text.chars().filter(|c| ('\u{80}'..'\u{a0}').contains(c)).count() } else { 0 };
    bytes.len() - c0 - 2 * c1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;

    fn read(text: &str) -> Manifest {
        Manifest::read(&Source::new("t", text)).unwrap()
    }

    #[test]
    fn sizes_are_those_of_iot_hub() {
        let text = r#"{"modulesContent": {
            "$edgeAgent": {"properties.desired": {"a": "x\u0007\u00e9", "n": 12345, "b": true, "z": null, "$version": 7}},
            "$edgeHub": {"properties.desired.routes": {"r": "FROM"}},
            "m": {"properties.desired": {"s": ["ab", {"c": "d"}]}}}}"#;
        let manifest = read(text);
        let sizes: Vec<_> = manifest.sections().map(|section| (section.id().to_owned(), section.size())).collect();
        let sizes: Vec<_> = sizes.iter().map(|(id, size)| (id.as_str(), *size)).collect();
        assert_eq!(sizes, [("$edgeAgent", 4 + 9 + 5 + 1), ("$edgeHub", 11), ("m", 1 + 2 + 2)]);
    }

    #[test]
    fn objects_count_as_the_strings_that_are_made_of_them() {
        let text = |options: &str| {
            format!(
                r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{"createOptions": {options}}}}}}}}}"#
            )
        };
        let size = |options: &str| read(&text(options)).sections().next().unwrap().size();
        assert_eq!(size(r#"{ "Env": [ "A=1" ] }"#), "createOptions".len() + r#"{"Env":["A=1"]}"#.len());
        let long = format!(r#"{{"Env":["A={}"]}}"#, "x".repeat(600));
        assert_eq!(size(&long), 2 * "createOptions".len() + 2 + long.len());
    }

    #[test]
    fn properties_are_found_in_both_forms() {
        let text = r#"{"modulesContent": {
            "$edgeAgent": {"properties.desired": {"modules": {}}},
            "$edgeHub": {"properties.desired": {"routes": {"a": "1"}, "schemaVersion": "1.0"}}}}"#;
        let whole = read(text);
        let hub = whole.section("$edgeHub").unwrap();
        assert_eq!(hub.property("schemaVersion").and_then(At::as_str), Some("1.0"));
        assert_eq!(hub.members_of("routes").iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a"]);
        let text = r#"{"content": {"modulesContent": {
            "$edgeHub": {"properties.desired.routes.b": "2", "properties.desired.routes": {"c": "3"}}}}}"#;
        let layered = read(text);
        let hub = layered.section("$edgeHub").unwrap();
        assert_eq!(hub.members_of("routes").iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["b", "c"]);
        assert!(hub.property("schemaVersion").is_none());
    }
}
