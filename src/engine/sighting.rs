//! One module in everything that is known of it, from whatever source.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{
    AgentTwin, Client, Conflict, Container, Engine, ModuleState, Network, Peer, Process, Proxy, RuntimeStatus, Snapshot,
};
use crate::manifest::{Form, Manifest, Module};

/// One module in everything that is known of it. It is declared, reported, or has a container.
#[derive(Debug, Clone)]
pub struct Sighting<'a> {
    /// Its id.
    pub id: &'a str,
    /// As it was written.
    pub declared: Option<Module<'a>>,
    /// As IoT Edge reports it.
    pub reported: Option<&'a ModuleState>,
    /// What IoT Edge's agent says of itself, where it says which modules run.
    pub agent: Option<&'a AgentTwin>,
    /// Its container.
    pub container: Option<&'a Container>,
    /// The engine that was looked at, whether it has such a container or not.
    pub engine: Option<&'a Engine>,
    /// The process that looked, if it is this module.
    pub process: Option<&'a Process>,
    /// How it looks over the network.
    pub peer: Option<&'a Peer>,
    /// The network in which somebody looked for it.
    pub network: Option<&'a Network>,
    /// The clients of edgeHub, whether it is one of them or not.
    pub clients: Option<&'a BTreeMap<String, Client>>,
    /// What sources say differently of it.
    pub conflicts: Vec<Conflict>,
}

/// What IoT Edge's agent says of itself, and of all modules that it runs.
#[derive(Debug, Clone, Copy)]
pub struct AgentSighting<'a> {
    /// Of itself.
    pub agent: &'a AgentTwin,
    /// Of the modules, where it says anything.
    pub modules: Option<&'a BTreeMap<String, ModuleState>>,
    /// `$version` of the deployment that is judged, where it is one out of IoT Hub.
    pub manifest_version: Option<i64>,
}

impl<'a> Sighting<'a> {
    /// The engine, if the module is to run there and has no container.
    pub fn lacks_container(&self) -> Option<(Module<'a>, &'a Engine)> {
        let declared = self.declared.filter(|module| !module.is_stopped())?;
        self.engine.filter(|_| self.container.is_none()).map(|engine| (declared, engine))
    }

    /// The proxies of its variables, as far as somebody saw them: the process of itself, or the engine.
    pub fn proxies(&self) -> Option<&'a [Proxy]> {
        let of_container = self.container.filter(|container| container.is_running());
        let of_container = of_container.map(|container| container.proxies.as_slice());
        of_container.or(self.process.map(|process| process.proxies.as_slice()))
    }

    /// Its variable `no_proxy`, likewise.
    pub fn no_proxy(&self) -> Option<&'a str> {
        let of_container = self.container.and_then(|container| container.no_proxy.as_deref());
        of_container.or(self.process.and_then(|process| process.no_proxy.as_deref()))
    }

    /// Whether nobody says that it does not run, so that it should answer.
    pub fn may_run(&self) -> bool {
        let nobody_objects = self.lacks_container().is_none()
            && self.container.is_none_or(Container::is_running)
            && self.reported.is_none_or(|state| state.status == RuntimeStatus::Running)
            && !self.declared.is_some_and(Module::is_stopped);
        // Whoever looks runs.
        self.process.is_some() || nobody_objects
    }
}

/// Every module that anybody knows of, by its id.
pub(super) fn sightings(snapshot: &Snapshot) -> Vec<Sighting<'_>> {
    let (engine, reported) = (snapshot.engine.known(), snapshot.modules.known());
    let (process, network) = (snapshot.process.known(), snapshot.network.known());
    let manifest = snapshot.manifest.known();
    // Bare createOptions have no name by which anything could be found.
    let manifest = manifest.filter(|manifest| manifest.form() != Form::CreateOptions);
    let declared: BTreeMap<&str, Module<'_>> =
        manifest.into_iter().flat_map(Manifest::modules).map(|module| (module.id(), module)).collect();
    let mut ids: BTreeSet<&str> = declared.keys().copied().collect();
    ids.extend(reported.into_iter().flat_map(BTreeMap::keys).map(String::as_str));
    ids.extend(engine.into_iter().flat_map(|engine| engine.containers.keys()).map(String::as_str));
    ids.extend(process.and_then(|process| process.module.as_deref()));
    ids.extend(network.into_iter().flat_map(|network| network.peers.keys()).map(String::as_str));
    let sighting = |id| Sighting {
        id,
        declared: declared.get(id).copied(),
        reported: reported.and_then(|modules| modules.get(id)),
        agent: snapshot.agent.known().filter(|_| reported.is_some()),
        container: engine.and_then(|engine| engine.containers.get(id)),
        engine,
        process: process.filter(|process| process.module.as_deref() == Some(id)),
        peer: network.and_then(|network| network.peers.get(id)),
        network,
        clients: snapshot.clients.known(),
        conflicts: snapshot.conflicts(id),
    };
    ids.into_iter().map(sighting).collect()
}
