//! Routes of edgeHub: who hands messages to whom (`iothub-limits.md` §4; `corpus.md` quirks 5 and 8).

use std::ops::Range;

use super::Manifest;
use crate::text::{At, Kind};

/// The mark before a module's id in the source or the sink of a route.
const MODULE: &str = "/modules/";

/// One route of `$edgeHub`.
#[derive(Debug, Clone, Copy)]
pub struct Route<'m> {
    /// Its name.
    pub name: &'m str,
    /// The member that holds it; its key ends with the name.
    pub at: At<'m>,
    /// What it says, where that is a string: `FROM … WHERE … INTO …`.
    pub text: Option<At<'m>>,
}

impl Manifest {
    /// The routes, written as strings or as objects, in whole deployments and in layers.
    pub fn routes(&self) -> Vec<Route<'_>> {
        let members = self.section("$edgeHub").map(|hub| hub.members_of("routes")).unwrap_or_default();
        members.into_iter().map(|(name, at)| Route { name, at, text: text(at) }).collect()
    }
}

impl<'m> Route<'m> {
    /// The modules that it names as source or sink, each with its bytes in the text.
    pub fn modules(&self) -> Vec<(&'m str, Range<usize>)> {
        let text = self.text.and_then(At::as_str).unwrap_or_default();
        // The source as it stands, `/messages/modules/<id>/…`, and the sink in quotes, `"/modules/<id>/inputs/…"`.
        let named = text.match_indices(MODULE).filter_map(|(at, _)| {
            let start = at + MODULE.len();
            let before = &text[..at];
            let is_place = before.to_ascii_lowercase().ends_with("/messages") || before.ends_with(['"', '\'']);
            let end = text[start..].find(|c: char| "/\"' )".contains(c)).map_or(text.len(), |length| start + length);
            let id = text.get(start..end)?;
            (is_place && !id.is_empty() && id != "*").then_some((id, start..end))
        });
        named.collect()
    }

    /// Whether it takes what devices send that use edgeHub as their gateway: such messages come from no module, and the
    /// condition says so.
    pub fn takes_from_devices(&self) -> bool {
        let text = self.text.and_then(At::as_str).unwrap_or_default();
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        text.contains("notis_defined($connectionmoduleid)")
    }
}

fn text(at: At<'_>) -> Option<At<'_>> {
    let text = if at.kind() == Kind::Object { at.get("route")? } else { at };
    (text.kind() == Kind::String).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;

    #[test]
    fn modules_of_routes() {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {}}, "$edgeHub": {"properties.desired": {"routes": {
            "a": "FROM /messages/modules/camera/outputs/* INTO BrokeredEndpoint(\"/modules/filter/inputs/in\")",
            "b": {"route": "FROM /messages/* WHERE NOT IS_DEFINED( $connectionModuleId ) INTO $upstream", "priority": 1},
            "c": "FROM /messages/modules/* INTO $upstream",
            "d": "FROM /messages/* WHERE path = '/api/modules/x' INTO $upstream",
            "e": "SELECT * FROM /messages/modules/last"}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let routes = manifest.routes();
        let ids: Vec<Vec<&str>> =
            routes.iter().map(|route| route.modules().into_iter().map(|(id, _)| id).collect()).collect();
        assert_eq!(ids, [vec!["camera", "filter"], vec![], vec![], vec![], vec!["last"]]);
        let from_devices: Vec<bool> = routes.iter().map(Route::takes_from_devices).collect();
        assert_eq!(from_devices, [false, true, false, false, false]);
    }
}
