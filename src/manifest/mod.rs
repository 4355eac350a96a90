//! Tolerant typed views over what people have: deployments, templates, layered deployments and bare createOptions.
//! Reads the meaning of a document; judges nothing.

mod address;
mod docker;
mod docker_keys;
mod env;
mod extensions;
mod gpu;
mod host_path;
mod image;
mod metrics;
mod mount_point;
mod options;
mod parts;
mod placeholder;
mod route;
mod secrets;
mod twin;
mod upstream;
mod visible_devices;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

pub use address::{Address, Argument};
pub use docker::{Bind, Device, HostMount, Mount, PortBinding, Protocol};
pub(crate) use docker::{is_given, port};
pub(crate) use docker_keys::{Home, home, near};
pub use env::EnvVar;
pub(crate) use env::excepts;
pub use extensions::PodVolume;
pub(crate) use extensions::{FPGA, GPU};
pub(crate) use gpu::{GpuCount, GpuRequest, docker_gpu_request};
pub use host_path::HostPath;
pub use image::Image;
pub(crate) use metrics::{METRICS_ENDPOINTS, METRICS_PORT};
pub use mount_point::{MountPoint, Mounted};
pub use options::Options;
pub(crate) use placeholder::has_placeholder;
pub use route::Route;
pub(crate) use secrets::holds_secret;
pub use secrets::{is_secret_name, open_text};
pub(crate) use twin::MAX_SECTION;
pub use twin::Section;
pub(crate) use upstream::{UPSTREAM_PROTOCOL, UpstreamProtocol};
pub use visible_devices::{DeviceNames, VisibleDevices};

use self::parts::Parts;
use crate::finding::Fix;
use crate::text::{At, Document, Kind, NodeId, Path, Source, SyntaxError};

/// The id of the one module where only its createOptions are given.
pub const CREATE_OPTIONS: &str = "createOptions";

/// Docker's settings of a container that belong to its host.
const HOST_CONFIG: &str = "HostConfig";

/// A deployment as it was written.
#[derive(Debug, Clone)]
pub struct Manifest {
    document: Document,
    form: Form,
    /// `$edgeAgent` → `properties.desired`, where there is one.
    agent: Option<NodeId>,
    modules: Vec<Entry>,
}

/// Which kind of document a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `modulesContent` with a whole `$edgeAgent` section.
    Deployment,
    /// The same with `$schema-template` or createOptions as objects, from which tools make deployments.
    Template,
    /// Keys such as `properties.desired.modules.NAME`, laid over another deployment.
    Layered,
    /// The createOptions of one module, nothing around it.
    CreateOptions,
}

/// What a document would have to be.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not JSON.
    #[error("{error}")]
    Syntax {
        /// The text.
        document: Source,
        /// What is wrong with it.
        error: Box<SyntaxError>,
    },
    /// JSON, but nothing that IoT Edge deploys.
    #[error(
        "{name} is JSON but not an IoT Edge deployment: expected `modulesContent` with `$edgeAgent`, or createOptions with `HostConfig`"
    )]
    NotADeployment {
        /// The name of the text.
        name: String,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    id: String,
    system: bool,
    /// The module's entry, or the root of bare createOptions.
    node: NodeId,
    options: Options,
    parts: Parts,
    /// What the deployment says of its twin.
    section: Option<NodeId>,
}

impl Entry {
    fn new(document: &Document, id: String, system: bool, node: NodeId, options: Options) -> Self {
        let parts = Parts::of(document, document.at(node).get("env").map(At::id), options.root());
        Self { id, system, node, options, parts, section: None }
    }

    /// Bare createOptions.
    fn of_options(document: &Document, root: NodeId) -> Self {
        let (id, options) = (CREATE_OPTIONS.to_owned(), Options::Parsed(root));
        let parts = Parts::of(document, None, Some(root));
        Self { id, system: false, node: root, options, parts, section: None }
    }
}

impl Manifest {
    /// Reads a document of any [`Form`].
    ///
    /// # Errors
    /// The text is not JSON, or not a deployment. createOptions that are not JSON are no error: they spoil their
    /// module only.
    pub fn read(source: &Source) -> Result<Self, ManifestError> {
        let document = Document::parse(source.clone())
            .map_err(|error| ManifestError::Syntax { document: source.clone(), error })?;
        let root = document.root();
        let agent =
            sections(root).into_iter().find_map(agent_of).map(|(at, layered)| (at.id(), module_nodes(at), layered));
        let template = root.get("$schema-template").is_some();
        if let Some((agent, entries, layered)) = agent {
            return Ok(Self::with_modules(document, Some(agent), entries, layered, template));
        }
        if wrapper(root).is_some() {
            // Layers over routes or module twins alone: there is no module to judge, and nothing wrong with that.
            return Ok(Self::with_modules(document, None, Vec::new(), true, template));
        }
        if is_create_options(root) {
            let entry = Entry::of_options(&document, root.id());
            return Ok(Self { document, form: Form::CreateOptions, agent: None, modules: vec![entry] });
        }
        Err(ManifestError::NotADeployment { name: source.name().to_owned() })
    }

    fn with_modules(
        mut document: Document,
        agent: Option<NodeId>,
        entries: Vec<(String, bool, NodeId)>,
        layered: bool,
        template: bool,
    ) -> Self {
        let mut objects = false;
        let modules = entries
            .into_iter()
            .map(|(id, system, node)| {
                let options = Options::read(&mut document, node);
                objects |= options.is_object_in(&document);
                Entry::new(&document, id, system, node, options)
            })
            .collect();
        let form = match (layered, template || objects) {
            (true, _) => Form::Layered,
            (false, true) => Form::Template,
            (false, false) => Form::Deployment,
        };
        let mut manifest = Self { document, form, agent, modules };
        let sections: BTreeMap<String, NodeId> =
            manifest.sections().map(|section| (section.id().to_owned(), section.at().id())).collect();
        for entry in manifest.modules.iter_mut().filter(|entry| !entry.system) {
            entry.section = sections.get(&entry.id).copied();
        }
        manifest
    }

    /// The text and its nodes.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Which kind of document it is.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The modules, system modules first, in the order of the document.
    pub fn modules(&self) -> impl Iterator<Item = Module<'_>> {
        self.modules.iter().map(|entry| Module { manifest: self, entry })
    }

    /// `edgeAgent` and `edgeHub`, as far as they are written.
    pub fn system_modules(&self) -> impl Iterator<Item = Module<'_>> {
        self.modules().take_while(|module| module.is_system())
    }

    /// The module `id`.
    pub fn module(&self, id: &str) -> Option<Module<'_>> {
        self.modules().find(|module| module.id() == id)
    }

    /// `$version` of the desired properties of `$edgeAgent`, which IoT Hub gives a deployment of one device.
    pub fn version(&self) -> Option<i64> {
        self.agent()?.get("$version").and_then(At::as_i64)
    }

    /// `$edgeAgent` → `properties.desired`.
    pub fn agent(&self) -> Option<At<'_>> {
        self.agent.map(|id| self.document.at(id))
    }
}

impl Form {
    /// What it is, for people.
    pub fn word(self) -> &'static str {
        match self {
            Form::Deployment => "deployment",
            Form::Template => "deployment template",
            Form::Layered => "layered deployment",
            Form::CreateOptions => "createOptions",
        }
    }
}

/// One module of a [`Manifest`].
#[derive(Debug, Clone, Copy)]
pub struct Module<'m> {
    manifest: &'m Manifest,
    entry: &'m Entry,
}

impl<'m> Module<'m> {
    /// The name in the deployment: `edgeHub`, `imageProcessor`; `createOptions` where only those were given.
    pub fn id(self) -> &'m str {
        &self.entry.id
    }

    /// Whether it is `edgeAgent` or `edgeHub`.
    pub fn is_system(self) -> bool {
        self.entry.system
    }

    /// The deployment.
    pub fn manifest(self) -> &'m Manifest {
        self.manifest
    }

    /// The module's entry, or the root of bare createOptions.
    pub fn entry(self) -> At<'m> {
        self.manifest.document.at(self.entry.node)
    }

    /// Whether it is not a whole module: a key of a layered deployment may lead to a part of one, `modules.camera.env`.
    pub(crate) fn is_part(self) -> bool {
        self.manifest.form == Form::Layered && self.entry().get("settings").is_none()
    }

    /// How its createOptions read.
    pub fn options(self) -> &'m Options {
        &self.entry.options
    }

    /// The value at `keys` below the createOptions, found without regard to case as the agent finds it:
    /// `option(&["HostConfig", "Binds"])`. `k8s-experimental` itself is matched exactly (`k8s-translation.md` §2).
    pub fn option(self, keys: &[&str]) -> Option<At<'m>> {
        let (start, keys) = match keys {
            [HOST_CONFIG, keys @ ..] => (self.entry.parts.host_config?, keys),
            keys => (self.entry.options.root()?, keys),
        };
        keys.iter().try_fold(self.manifest.document.at(start), |at, key| match *key {
            "k8s-experimental" => at.get(key),
            key => at.get_ignoring_case(key),
        })
    }

    /// The path of `keys` below the createOptions, for an edit: with the spelling that is there, or the usual one.
    pub fn option_path(self, keys: &[&str]) -> Path {
        let base = match self.manifest.form {
            Form::CreateOptions => Path::default(),
            _ => {
                self.options_value().map_or_else(|| self.entry().path().key("settings").key("createOptions"), At::path)
            }
        };
        (0..keys.len()).fold(base, |path, i| {
            let there = self.option(&keys[..=i]).and_then(At::key);
            path.key(there.unwrap_or(keys[i]))
        })
    }

    /// Adds to `fix` that `value` is put at `keys` below the createOptions; a blank string becomes a string with just
    /// that in it.
    #[must_use]
    pub fn set_option(self, fix: Fix, keys: &[&str], value: impl Into<serde_json::Value>) -> Fix {
        let blank = matches!(self.entry.options, Options::Absent).then(|| self.options_value()).flatten();
        let Some(blank) = blank else { return fix.set(self.option_path(keys), value) };
        let wrap = |value, key: &&str| serde_json::json!({ *key: value });
        let options = keys.iter().rev().fold(value.into(), wrap);
        fix.set(blank.path(), options.to_string())
    }

    /// `settings.createOptions`, in whatever spelling and form.
    fn options_value(self) -> Option<At<'m>> {
        self.entry().get("settings")?.get_ignoring_case("createOptions")
    }

    /// The values of the module's desired properties, where the document has its twin too.
    pub fn twin(self) -> impl Iterator<Item = At<'m>> {
        let own = self.entry.section.map(|id| Section::of(self.manifest.document.at(id)));
        own.into_iter().flat_map(Section::desired)
    }

    /// Whether it is not to run: such a module has no pod, and holds nothing.
    pub fn is_stopped(self) -> bool {
        let status = self.entry().get("status").and_then(At::as_str);
        status.is_some_and(|status| status.eq_ignore_ascii_case("stopped"))
    }

    /// `HostConfig.Devices`.
    pub fn devices(self) -> Vec<Device<'m>> {
        let list = self.option(&["HostConfig", "Devices"]);
        list.into_iter().flat_map(At::items).filter_map(Device::read).collect()
    }

    /// Whether `HostConfig.Privileged` is true.
    pub fn is_privileged(self) -> bool {
        self.option(&["HostConfig", "Privileged"]).and_then(At::as_bool).unwrap_or(false)
    }
}

/// The places where a deployment's sections may hang: at `modulesContent`, below `content` (Azure CLI), under the
/// 2018 spelling `moduleContent`, or at the root (`corpus.md` quirk 4).
fn sections(root: At<'_>) -> Vec<At<'_>> {
    wrapper(root).into_iter().chain([root]).collect()
}

fn wrapper(root: At<'_>) -> Option<At<'_>> {
    let places = [Some(root), root.get("content")];
    let below = |at: At<'_>| ["modulesContent", "moduleContent"].into_iter().find_map(|key| at.get(key).map(At::id));
    let found = places.into_iter().flatten().find_map(below)?;
    Some(root.document().at(found)).filter(|at| at.kind() == Kind::Object)
}

/// The desired properties of `$edgeAgent`, and whether they are written as a layered deployment.
fn agent_of(sections: At<'_>) -> Option<(At<'_>, bool)> {
    let agent = sections.get("$edgeAgent").filter(|at| at.kind() == Kind::Object)?;
    Some(agent.get("properties.desired").map_or((agent, true), |desired| (desired, false)))
}

/// Module id, whether it is a system module, and its entry.
fn module_nodes(agent: At<'_>) -> Vec<(String, bool, NodeId)> {
    let mut seen = BTreeSet::new();
    let mut modules = Vec::new();
    for (section, system) in [("systemModules", true), ("modules", false)] {
        let layered = format!("properties.desired.{section}");
        for member in agent.members() {
            let Some(key) = member.key() else { continue };
            if key == section || key == layered {
                modules
                    .extend(member.members().filter_map(|entry| Some((entry.key()?.to_owned(), system, entry.id()))));
            } else if let Some(id) = key.strip_prefix(&layered).and_then(|rest| rest.strip_prefix('.')) {
                modules.push((id.to_owned(), system, member.id()));
            }
        }
    }
    // Where a module stands twice the agent's parser takes the last one.
    modules.reverse();
    modules.retain(|(id, system, _)| seen.insert((id.clone(), *system)));
    modules.reverse();
    modules
}

/// Whether `root` looks like what goes into createOptions: at least one key that belongs right in them, or `{}`.
fn is_create_options(root: At<'_>) -> bool {
    let empty = root.kind() == Kind::Object && root.members().len() == 0;
    empty || root.members().filter_map(At::key).any(|key| matches!(home(key), Some((_, Home::Top))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_for_edits_have_the_spelling_that_is_there() {
        let text = r#"{"$edgeAgent": {"properties.desired": {"modules": {
            "m": {"settings": {"createoptions": "{\"hostconfig\": {}}"}},
            "n": {"settings": {"image": "i"}}}}}}"#;
        let manifest = Manifest::read(&Source::new("t", text)).unwrap();
        let path = |id| manifest.module(id).unwrap().option_path(&["HostConfig", "Mounts"]).to_string();
        let base = "$edgeAgent.\"properties.desired\".modules";
        assert_eq!(path("m"), format!("{base}.m.settings.createoptions.hostconfig.Mounts"));
        assert_eq!(path("n"), format!("{base}.n.settings.createOptions.HostConfig.Mounts"));
    }
}
