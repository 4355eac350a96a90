//! What rules ask of a module again and again, found once when the manifest is read.

use super::docker::{BindPlace, MountPlace, PortPlace};
use super::env::EnvPlace;
use super::{Bind, EnvVar, HOST_CONFIG, HostMount, Module, Mount, PortBinding};
use crate::text::{At, Document, Kind, NodeId};

/// Where the parts of a module stand.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// `HostConfig` of the createOptions.
    pub(super) host_config: Option<NodeId>,
    env: Vec<EnvPlace>,
    binds: Vec<BindPlace>,
    mounts: Vec<MountPlace>,
    ports: Vec<PortPlace>,
}

impl Parts {
    /// Finds the parts of a module whose entry has `env`, and whose createOptions have the root `options`.
    pub(super) fn of(document: &Document, env: Option<NodeId>, options: Option<NodeId>) -> Self {
        let options = options.map(|root| document.at(root));
        let option = |key| options.and_then(|root| root.get_ignoring_case(key));
        let host = option(HOST_CONFIG);
        let host_option = |key| host.and_then(|host| host.get_ignoring_case(key)).into_iter();
        let of_module = env.map(|map| document.at(map)).into_iter().flat_map(At::members).map(EnvPlace::of_module);
        let of_options = option("Env").into_iter().flat_map(At::items).filter_map(EnvPlace::of_options);
        let mounts = host_option("Mounts").flat_map(At::items).enumerate();
        Self {
            host_config: host.map(At::id),
            env: of_module.chain(of_options).collect(),
            binds: host_option("Binds").flat_map(At::items).filter_map(BindPlace::of).collect(),
            mounts: mounts
                .filter(|(_, at)| at.kind() == Kind::Object)
                .map(|(index, at)| MountPlace::of(index, at))
                .collect(),
            ports: host_option("PortBindings").flat_map(At::members).flat_map(PortPlace::of).collect(),
        }
    }
}

impl<'m> Module<'m> {
    /// Environment variables: `env` of the module, then `Env` of the createOptions; where a name stands twice the
    /// later wins (`k8s-translation.md` §1.4).
    pub fn env(self) -> Vec<EnvVar<'m>> {
        self.entry.parts.env.iter().map(|place| EnvVar::read(&self.manifest.document, *place)).collect()
    }

    /// `HostConfig.Binds`, taken apart.
    pub fn binds(self) -> Vec<Bind<'m>> {
        self.entry.parts.binds.iter().map(|place| Bind::read(&self.manifest.document, place)).collect()
    }

    /// `HostConfig.Mounts`; elements that are no objects, such as placeholders, are left out.
    pub fn mounts(self) -> Vec<Mount<'m>> {
        self.entry.parts.mounts.iter().map(|place| Mount::read(&self.manifest.document, place)).collect()
    }

    /// Paths of the host that the module mounts: `Binds`, and `Mounts` of type `bind`.
    pub fn host_mounts(self) -> Vec<HostMount<'m>> {
        let binds = self.binds().into_iter().filter(|bind| !bind.target.is_empty()).map(HostMount::Bind);
        let mounts = self.mounts().into_iter().filter(|mount| mount.is("bind") && mount.source.is_some());
        binds.chain(mounts.map(HostMount::Mount)).collect()
    }

    /// `HostConfig.PortBindings`, one entry for each host port.
    pub fn port_bindings(self) -> Vec<PortBinding<'m>> {
        self.entry.parts.ports.iter().map(|place| PortBinding::read(&self.manifest.document, place)).collect()
    }
}
