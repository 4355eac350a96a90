//! The claims of a module (`k8s-translation.md` §5, class `KubernetesPvcMapper`).

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::AgentSettings;
use super::super::names::{dns_label, k8s_value};
use super::parameters::Parameters;
use super::{Fault, FaultKind, Labels, Stage, metadata};
use crate::target::Agent;
use crate::text::At;

/// The claims of a module's `Mounts` of type volume, each name once: if one of several is writable, so is the claim.
///
/// # Errors
/// No name can be made of a source.
pub fn claims(
    parameters: &Parameters<'_>,
    labels: &Labels,
    settings: &AgentSettings,
) -> Result<Vec<PersistentVolumeClaim>, Box<Fault>> {
    // An empty class counts as set.
    let Some(class) = &settings.storage_class else { return Ok(Vec::new()) };
    let mut made: Vec<(String, bool)> = Vec::new();
    for at in parameters.host_option("Mounts").into_iter().flat_map(At::items) {
        let text = |key: &str| at.get_ignoring_case(key).and_then(At::as_text);
        if !text("Type").is_some_and(|kind| kind.eq_ignore_ascii_case("volume")) {
            continue;
        }
        let name = text("Source").and_then(|source| claim_name(source, &parameters.name, settings.agent));
        let name = name.ok_or_else(|| {
            let message = "no name of a claim can be made of the source";
            Box::new(Fault::new(parameters.module, Stage::Claims, FaultKind::InvalidName, at, message))
        })?;
        let read_only = at.get_ignoring_case("ReadOnly").and_then(At::as_bool).unwrap_or(false);
        match made.iter_mut().find(|(there, _)| *there == name) {
            Some((_, all_read_only)) => *all_read_only &= read_only,
            None => made.push((name, read_only)),
        }
    }
    let claim = |(name, read_only): (String, bool)| PersistentVolumeClaim {
        metadata: metadata(&name, labels, None, settings),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![if read_only { "ReadOnlyMany" } else { "ReadWriteMany" }.to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(format!("{}Mi", settings.claim_size)))].into()),
                limits: None,
            }),
            storage_class_name: Some(class.clone()),
            volume_name: settings.source_as_volume_name.then_some(name),
            ..Default::default()
        }),
        status: None,
    };
    Ok(made.into_iter().map(claim).collect())
}

/// Whether the agent takes two claims for the same, and leaves the one that is there alone: name, labels, access modes,
/// size, and volume or class.
pub fn equal(one: &PersistentVolumeClaim, other: &PersistentVolumeClaim) -> bool {
    let (Some(a), Some(b)) = (&one.spec, &other.spec) else { return false };
    let size = |spec: &PersistentVolumeClaimSpec| {
        spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get("storage").cloned())
    };
    one.metadata.name == other.metadata.name
        && one.metadata.labels == other.metadata.labels
        && a.access_modes.is_some()
        && a.access_modes == b.access_modes
        && size(a).is_some()
        && size(a) == size(b)
        && (a.volume_name == b.volume_name || a.storage_class_name == b.storage_class_name)
}

/// The name of the claim object. Before beta13 it was made by another rule than the name under which the pod asks for
/// it, and before beta5 it had the module in front; that both together were cleaned is inferred.
pub(super) fn claim_name(source: &str, module: &str, agent: Agent) -> Option<String> {
    if agent >= Agent::beta(13) {
        dns_label(source)
    } else if agent >= Agent::beta(5) {
        k8s_value(source).filter(|name| !name.is_empty())
    } else {
        k8s_value(&format!("{module}-{source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::text::Source;

    /// The claims of a module with these `Mounts`.
    fn made(mounts: &str, settings: &AgentSettings) -> Vec<PersistentVolumeClaim> {
        let options = format!(r#"{{"HostConfig": {{"Mounts": [{mounts}]}}}}"#);
        let manifest = Manifest::read(&Source::new("t", options)).unwrap();
        let parameters = Parameters::read(manifest.modules().next().unwrap(), settings).unwrap();
        let labels = Labels::from([("device".to_owned(), "d".to_owned())]);
        claims(&parameters, &labels, settings).unwrap()
    }

    fn mount(source: &str, more: &str) -> String {
        format!(r#"{{"Type": "Volume", "Source": "{source}", "Target": "/t"{more}}}"#)
    }

    /// A change of a claim, whose specification is handed over beside it.
    type Change = fn(&mut PersistentVolumeClaim, &mut PersistentVolumeClaimSpec);

    #[test]
    fn claims_are_made_of_volumes_and_settings() {
        let mounts = [
            mount("Share_1", ""),
            mount("in", r#", "ReadOnly": "true""#),
            r#"{"Type": "bind", "Source": "/x"}"#.to_owned(),
        ];
        let made_with = |settings: &AgentSettings| made(&mounts.join(","), settings);
        let settings = AgentSettings { claim_size: 7, ..AgentSettings::default() };
        let found = made_with(&settings);
        let view: Vec<_> = found
            .iter()
            .map(|claim| {
                let spec = claim.spec.as_ref().unwrap();
                let size = &spec.resources.as_ref().unwrap().requests.as_ref().unwrap()["storage"].0;
                let modes = spec.access_modes.as_ref().unwrap().join(",");
                (claim.metadata.name.as_deref().unwrap(), modes, size.as_str(), spec.volume_name.as_deref())
            })
            .collect();
        let expected = [
            ("share1", "ReadWriteMany".to_owned(), "7Mi", Some("share1")),
            ("in", "ReadOnlyMany".to_owned(), "7Mi", Some("in")),
        ];
        assert_eq!(view, expected);
        assert_eq!(found[0].spec.as_ref().unwrap().storage_class_name.as_deref(), Some(""));
        assert_eq!(found[0].metadata.labels.as_ref().unwrap().len(), 1);

        let unnamed = made_with(&AgentSettings { source_as_volume_name: false, ..settings.clone() });
        assert_eq!(unnamed[0].spec.as_ref().unwrap().volume_name, None);
        assert!(made_with(&AgentSettings { storage_class: None, ..settings }).is_empty());
    }

    #[test]
    fn one_source_is_one_claim_and_writable_if_one_of_them_is() {
        let (read_only, writable) = (mount("a", r#", "ReadOnly": true"#), mount("A", ""));
        for (mounts, mode) in [
            ([&read_only, &writable], "ReadWriteMany"),
            ([&writable, &read_only], "ReadWriteMany"),
            ([&read_only, &read_only], "ReadOnlyMany"),
        ] {
            let found = made(&format!("{}, {}", mounts[0], mounts[1]), &AgentSettings::default());
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].spec.as_ref().unwrap().access_modes.as_deref(), Some([mode.to_owned()].as_slice()));
        }
    }

    #[test]
    fn names_of_claims_changed_with_the_versions() {
        let name = |agent, source| claim_name(source, "m", Agent::beta(agent));
        assert_eq!(name(15, "1_My.Share").as_deref(), Some("1myshare"));
        assert_eq!(name(12, "1_My.Share").as_deref(), Some("1my.share"));
        assert_eq!(name(4, "Share").as_deref(), Some("m-share"));
        assert_eq!((name(15, "___"), name(12, "___")), (None, None));
    }

    #[test]
    fn claims_are_the_same_where_the_agent_looks() {
        let base = || {
            let mut claim = made(&mount("a", ""), &AgentSettings::default()).remove(0);
            claim.spec.as_mut().unwrap().storage_class_name = Some("class".to_owned());
            claim
        };
        let requests = |spec: &mut PersistentVolumeClaimSpec, amount: &str| {
            let requests = [("storage".to_owned(), Quantity(amount.to_owned()))].into();
            spec.resources = Some(VolumeResourceRequirements { requests: Some(requests), limits: None });
        };
        let changed = |change: Change| {
            let mut claim = base();
            let mut spec = claim.spec.take().unwrap();
            change(&mut claim, &mut spec);
            claim.spec = Some(spec);
            claim
        };
        let same: [Change; 5] = [
            |_, _| {},
            // One of volume and class is enough.
            |_, spec| spec.volume_name = Some("b".to_owned()),
            |_, spec| spec.storage_class_name = Some("b".to_owned()),
            |_, spec| spec.volume_mode = Some("Block".to_owned()),
            |claim, _| claim.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into()),
        ];
        for (i, change) in same.into_iter().enumerate() {
            assert!(equal(&base(), &changed(change)) && equal(&changed(change), &base()), "{i}");
        }
        let other: [Change; 5] = [
            |claim, _| claim.metadata.name = Some("b".to_owned()),
            |claim, _| claim.metadata.labels = None,
            |_, spec| spec.access_modes = Some(vec!["ReadOnlyMany".to_owned()]),
            |_, spec| spec.resources = None,
            |_, spec| (spec.volume_name, spec.storage_class_name) = (None, None),
        ];
        for (i, change) in other.into_iter().enumerate() {
            assert!(!equal(&base(), &changed(change)) && !equal(&changed(change), &base()), "{i}");
        }
        let mut larger = base();
        requests(larger.spec.as_mut().unwrap(), "101Mi");
        assert!(!equal(&base(), &larger));
        // What says nothing is never the same.
        let silent = changed(|_, spec| spec.access_modes = None);
        assert!(!equal(&silent, &silent));
        let sizeless = changed(|_, spec| spec.resources = None);
        assert!(!equal(&sizeless, &sizeless));
    }
}
