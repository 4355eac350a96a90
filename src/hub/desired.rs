//! The desired properties as far as they are known: what a whole twin and what patches make of them
//! (`iotedge-protocol.md` §B5).

use serde_json::Value;

use super::reported::merge;

/// The desired section, and whether an older one was just seen.
#[derive(Debug, Default)]
pub struct Desired {
    section: Option<Value>,
    doubted: bool,
}

/// What has to be done next.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing is new.
    Nothing,
    /// The section is this now.
    Changed(Value),
    /// Something was missed: ask for the whole twin.
    Ask,
}

impl Desired {
    /// A whole twin was read, in the shape of [`twin`].
    pub fn read(&mut self, twin: &Value) -> Step {
        let section = &twin["desired"];
        let (known, read) = (self.section.as_ref().and_then(version), version(section));
        // Either the answer was overtaken by a patch, or the twin was made anew: the second answer tells.
        if read < known && !self.doubted {
            self.doubted = true;
            return Step::Ask;
        }
        self.doubted = false;
        if self.section.as_ref() == Some(section) {
            return Step::Nothing;
        }
        self.section = Some(section.clone());
        Step::Changed(section.clone())
    }

    /// A patch came, whose topic gave a version or did not. Only the very next one is applied.
    pub fn patch(&mut self, topic: Option<u64>, patch: &Value) -> Step {
        let Some(section) = &mut self.section else { return Step::Ask };
        let (known, patched) = (version(section), version(patch).or(topic));
        if patched.is_some() && patched == known {
            return Step::Nothing;
        }
        let disagree = topic.is_some() && topic != patched;
        if !patch.is_object() || disagree || known.and_then(|known| known.checked_add(1)) != patched {
            return Step::Ask;
        }
        merge(section, patch);
        section["$version"] = patched.into();
        Step::Changed(section.clone())
    }
}

/// Reads a twin. `None` is a twin that edgeHub does not know: it answers an empty one then, without `$version`.
pub fn twin(body: &[u8]) -> Option<Value> {
    let twin: Value = serde_json::from_slice(body).ok()?;
    (version(&twin["desired"]).is_some() && version(&twin["reported"]).is_some()).then_some(twin)
}

fn version(section: &Value) -> Option<u64> {
    section.get("$version")?.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(desired: &mut Desired, section: &Value) -> Step {
        desired.read(&json!({ "desired": section, "reported": { "$version": 1 } }))
    }

    fn known(version: u64) -> Desired {
        let mut desired = Desired::default();
        read(&mut desired, &json!({ "a": 1, "b": { "c": 2 }, "$version": version }));
        desired
    }

    #[test]
    fn the_next_patch_is_applied() {
        let mut desired = known(4);
        let step = desired.patch(Some(5), &json!({ "a": null, "b": { "d": 3 }, "$version": 5 }));
        assert_eq!(step, Step::Changed(json!({ "b": { "c": 2, "d": 3 }, "$version": 5 })));
        // The version may stand in the topic alone.
        assert_eq!(desired.patch(Some(6), &json!({ "b": null })), Step::Changed(json!({ "$version": 6 })));
    }

    #[test]
    fn any_other_patch_asks_for_the_twin() {
        for (topic, patch) in [
            (Some(6), json!({ "a": 2, "$version": 6 })),
            (Some(3), json!({ "a": 2, "$version": 3 })),
            (Some(5), json!({ "a": 2, "$version": 7 })),
            (Some(7), json!({ "a": 2, "$version": 5 })),
            (None, json!({ "a": 2 })),
            (Some(5), json!([1])),
            (None, json!({ "a": 2, "$version": "5" })),
        ] {
            let mut desired = known(4);
            assert_eq!(desired.patch(topic, &patch), Step::Ask, "{topic:?} {patch}");
            assert_eq!(desired.section, known(4).section);
        }
        assert_eq!(Desired::default().patch(Some(1), &json!({ "$version": 1 })), Step::Ask);
        assert_eq!(known(4).patch(Some(4), &json!({ "a": 9, "$version": 4 })), Step::Nothing);
        assert_eq!(known(u64::MAX).patch(Some(0), &json!({ "$version": 0 })), Step::Ask);
    }

    #[test]
    fn an_older_twin_is_believed_the_second_time() {
        let mut desired = known(4);
        let older = json!({ "a": 7, "$version": 1 });
        assert_eq!(read(&mut desired, &older), Step::Ask);
        assert_eq!(read(&mut desired, &older), Step::Changed(older));
        // An answer that a patch overtook is not.
        let mut desired = known(4);
        assert_eq!(read(&mut desired, &json!({ "$version": 3 })), Step::Ask);
        let section = desired.section.clone().unwrap();
        assert_eq!(read(&mut desired, &section), Step::Nothing);
    }

    #[test]
    fn a_twin_without_versions_is_not_known() {
        for body in ["", "{}", "[]", r#"{"desired":{},"reported":{}}"#, r#"{"desired":{"$version":1}}"#, "\u{feff}{}"] {
            assert_eq!(twin(body.as_bytes()), None, "{body}");
        }
        assert!(twin(br#"{"desired":{"$version":1},"reported":{"$version":1}}"#).is_some());
    }
}
