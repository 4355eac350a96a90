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
