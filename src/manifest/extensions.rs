//! `k8s-experimental`, the part of createOptions that speaks of Kubernetes (`k8s-translation.md` §2).

use super::Module;
use crate::text::At;

/// The Kubernetes resource that a GPU is.
pub(crate) const GPU: &str = "nvidia.com/gpu";

/// The Kubernetes resource that an FPGA is, on the FPGA device.
pub(crate) const FPGA: &str = "microsoft.com/fpga_catapult";

/// One entry of `k8s-experimental.volumes`: a volume of the pod and where the module's container mounts it.
#[derive(Debug, Clone, Copy)]
pub struct PodVolume<'m> {
    /// The array element.
    pub at: At<'m>,
}

impl<'m> PodVolume<'m> {
    /// The name of the volume.
    pub fn name(&self) -> Option<At<'m>> {
        self.at.get_ignoring_case("volume").and_then(|volume| volume.get_ignoring_case("name"))
    }

    /// The name of the claim that it takes, if it is one.
    pub fn claim(&self) -> Option<At<'m>> {
        let keys = ["volume", "persistentVolumeClaim", "claimName"];
        keys.iter().try_fold(self.at, |at, key| at.get_ignoring_case(key))
    }

    /// Whether it is gone with its pod: an `emptyDir`.
    pub fn is_temporary(&self) -> bool {
        self.at.get_ignoring_case("volume").is_some_and(|volume| volume.get_ignoring_case("emptyDir").is_some())
    }

    /// Its `volumeMounts`, each with the place of its `mountPath`.
    pub fn mounts(&self) -> impl Iterator<Item = (At<'m>, At<'m>)> {
        let list = self.at.get_ignoring_case("volumeMounts");
        list.into_iter().flat_map(At::items).filter_map(|mount| Some((mount, mount.get_ignoring_case("mountPath")?)))
    }
}

impl<'m> Module<'m> {
    /// `k8s-experimental.volumes`.
    pub fn pod_volumes(self) -> Vec<PodVolume<'m>> {
        let list = self.option(&["k8s-experimental", "volumes"]);
        list.into_iter().flat_map(At::items).map(|at| PodVolume { at }).collect()
    }

    /// `k8s-experimental.resources.limits` → `resource`.
    pub fn limit(self, resource: &str) -> Option<At<'m>> {
        self.option(&["k8s-experimental", "resources", "limits", resource])
    }

    /// `k8s-experimental.resources.requests` → `resource`.
    pub fn request(self, resource: &str) -> Option<At<'m>> {
        self.option(&["k8s-experimental", "resources", "requests", resource])
    }
}
