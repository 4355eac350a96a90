//! `render`: the Kubernetes objects that the agent would make of a deployment, and what a change does to them.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::kube_model::objects::{self, ModuleObjects, Objects};
use crate::kube_model::{AgentSettingError, AgentSettings};
use crate::manifest::{Manifest, ManifestError};
use crate::target::Agent;

/// What `render` can be told.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RenderArgs {
    /// Only the objects of this module
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,

    /// The IoT Edge agent on Kubernetes, beta3 to beta15; beta13 where nothing says otherwise
    #[arg(long, value_name = "BETA")]
    pub agent: Option<Agent>,

    /// A setting of the agent by its name, which the output lists with its value; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub setting: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Rendering {
    /// The objects.
    pub objects: Objects,
    /// What they were made with.
    pub settings: AgentSettings,
    /// The settings that were given, as they were.
    pub given: Vec<String>,
    /// The one module that is asked for.
    pub module: Option<String>,
}

/// Why nothing can be rendered.
#[derive(Debug, Error)]
pub enum RenderError {
    /// An agent setting that cannot be taken.
    #[error(transparent)]
    Setting(#[from] AgentSettingError),
    /// A module that is not there.
    #[error("cannot render module `{asked}`: there are {there}")]
    NoSuchModule {
        /// What was asked for.
        asked: String,
        /// What there is.
        there: String,
    },
    /// The deployment with its secrets overwritten is none any more: a fault of ours.
    #[error("internal error: cannot read the deployment without its secrets: {0}")]
    Masked(#[from] ManifestError),
}

/// What a change of a deployment does to its objects.
#[derive(Debug)]
pub struct Changes {
    /// Objects that change, by kind and name, as JSON before and after; none where there is none.
    pub objects: BTreeMap<(String, String), (Option<Value>, Option<Value>)>,
    /// The modules whose pods change, with what becomes of those.
    pub pods: Vec<(String, PodChange)>,
    /// What stops the agent on the new deployment.
    pub after: Rendering,
}

/// What a change of a deployment does to a module's pod.
#[derive(Debug, PartialEq, Eq)]
pub enum PodChange {
    /// There was none.
    Starts,
    /// There is none any more.
    Stops,
    /// Another one takes its place, because of these fields; of lists that have names, with the name.
    Restarts(Vec<String>),
}

/// The objects of `manifest`. Secrets in it are overwritten first, as everywhere (`Manifest::masked`), unless they are
/// to be `shown`.
///
/// # Errors
/// A setting cannot be taken, or the module is not there.
pub fn render(manifest: &Manifest, args: &RenderArgs, shown: bool) -> Result<Rendering, RenderError> {
    let mut settings = AgentSettings::of(args.agent.unwrap_or_default());
    for assignment in &args.setting {
        settings.set(assignment)?;
    }
    if let Some(asked) = &args.module
        && manifest.module(asked).is_none()
    {
        let there: Vec<&str> = manifest.modules().map(crate::manifest::Module::id).collect();
        return Err(RenderError::NoSuchModule { asked: asked.clone(), there: there.join(", ") });
    }
    let objects = if shown {
        objects::translate(manifest, &settings)
    } else {
        objects::translate(&Manifest::read(&manifest.masked(&[]))?, &settings)
    };
    Ok(Rendering { objects, settings, given: args.setting.clone(), module: args.module.clone() })
}

/// What becomes of the objects of `old` when `new` is deployed. Objects that differ only in something secret are the same in
/// what is shown of them.
///
/// # Errors
/// As [`render`].
pub fn changes(old: &Manifest, new: &Manifest, args: &RenderArgs) -> Result<Changes, RenderError> {
    let one_of = |manifest: &Manifest, shown| {
        let args = RenderArgs { module: None, ..args.clone() };
        render(manifest, &args, shown)
    };
    let (before, after) = (one_of(old, true)?, one_of(new, true)?);
    let (shown_before, shown_after) = (one_of(old, false)?, one_of(new, false)?);
    let (was, is) = (keyed(&before), keyed(&after));
    let (shown_was, shown_is) = (keyed(&shown_before), keyed(&shown_after));
    let keys = was.keys().chain(is.keys()).cloned();
    let wanted = |(_, name): &(String, String)| {
        args.module.as_ref().is_none_or(|module| *name == crate::kube_model::object_name(module))
    };
    let changed = keys.filter(|key| was.get(key) != is.get(key) && wanted(key));
    let objects = changed.map(|key| {
        let both = (shown_was.get(&key).cloned(), shown_is.get(&key).cloned());
        (key, both)
    });
    let objects: BTreeMap<_, _> = objects.collect();
    let mut pods = pod_changes(&before.objects.modules, &after.objects);
    pods.retain(|(id, _)| args.module.as_ref().is_none_or(|module| module == id));
    Ok(Changes { objects, pods, after: shown_after })
}

impl Rendering {
    /// The objects that the agent creates, in its order; only those of the module that was asked for, where one was.
    pub fn created(&self) -> Result<Vec<Value>, serde_json::Error> {
        let mut created = self.objects.created()?;
        if let Some(module) = &self.module {
            let own: Vec<String> = self.modules().flat_map(names).collect();
            let name = crate::kube_model::object_name(module);
            created.retain(|object| {
                let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
                let (kind, given) = (text("/kind"), text("/metadata/name"));
                match kind {
                    "EdgeDeployment" => false,
                    "Secret" | "PersistentVolumeClaim" => own.iter().any(|own| own == given),
                    _ => given == name,
                }
            });
        }
        Ok(created)
    }

    /// Whether nothing stops the agent and Kubernetes refuses none of the objects.
    ///
    /// # Errors
    /// None of these objects fails to be written as JSON.
    pub fn is_carried_out(&self) -> Result<bool, serde_json::Error> {
        Ok(self.objects.stopped_at().is_none() && objects::refused(&self.created()?).is_empty())
    }

    /// The modules that are asked for.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleObjects> {
        let asked = self.module.as_deref();
        self.objects.modules.iter().filter(move |module| asked.is_none_or(|asked| asked == module.id))
    }
}

/// The names of claims and pull secrets that a module has to itself or shares.
fn names(module: &ModuleObjects) -> Vec<String> {
    let claims = module.claims.iter().filter_map(|claim| claim.metadata.name.clone());
    let pod = module.deployment.as_ref().and_then(|deployment| deployment.spec.as_ref()?.template.spec.as_ref());
    let secrets = pod.into_iter().flat_map(|pod| pod.image_pull_secrets.iter().flatten()).map(|one| one.name.clone());
    claims.chain(secrets).collect()
}

/// Objects by kind and name, without what is said twice in them and the agent's own object.
fn keyed(rendering: &Rendering) -> BTreeMap<(String, String), Value> {
    let created = rendering.objects.created().unwrap_or_default();
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    created
        .into_iter()
        .map(|object| ((text(&object, "/kind"), text(&object, "/metadata/name")), without_creation_string(object)))
        .filter(|((kind, _), _)| kind != "EdgeDeployment")
        .collect()
}

/// `object` without the annotation that repeats all of it.
pub(crate) fn without_creation_string(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        let empty = metadata.get_mut("annotations").and_then(Value::as_object_mut).is_some_and(|annotations| {
            annotations.retain(|key, _| key != "net.azure-devices.edge.creationstring");
            annotations.is_empty()
        });
        if empty {
            metadata.shift_remove("annotations");
        }
    }
    object
}

/// Modules whose pods are other ones afterwards. A change of edgeAgent is seen in its images only, and those it keeps
/// (`k8s-translation.md` §4).
fn pod_changes(before: &[ModuleObjects], after: &Objects) -> Vec<(String, PodChange)> {
    if after.stopped_at().is_some_and(|stage| stage <= objects::Stage::Deployments) {
        return Vec::new();
    }
    let pods = |modules: &[ModuleObjects]| -> Vec<(String, Value)> {
        let others = modules.iter().filter(|module| module.id != "edgeAgent");
        others.filter_map(|module| Some((module.id.clone(), pod(module)?))).collect()
    };
    let (was, is) = (pods(before), pods(&after.modules));
    let in_list = |list: &[(String, Value)], id: &str| list.iter().any(|(own, _)| own == id);
    let stopped = was.iter().filter(|(id, _)| !in_list(&is, id)).map(|(id, _)| (id.clone(), PodChange::Stops));
    let changed = is.iter().filter_map(|(id, pod)| {
        let Some((_, old)) = was.iter().find(|(old, _)| old == id) else {
            return Some((id.clone(), PodChange::Starts));
        };
        let mut fields = Vec::new();
        differences(old, pod, "", &mut fields);
        (!fields.is_empty()).then(|| (id.clone(), PodChange::Restarts(fields)))
    });
    changed.chain(stopped).collect()
}

/// What the pod of a module is made after, in the shape that the files of Kubernetes have; none where it is to have none.
fn pod(module: &ModuleObjects) -> Option<Value> {
    let spec = module.deployment.as_ref()?.spec.as_ref()?;
    (spec.replicas != Some(0)).then(|| serde_json::to_value(&spec.template).ok()).flatten()
}

/// The innermost fields below `path` in which two values differ.
fn differences(one: &Value, other: &Value, path: &str, found: &mut Vec<String>) {
    if one == other {
        return;
    }
    let (Some(one_of), Some(other_of)) = (members(one), members(other)) else { return found.push(path.to_owned()) };
    let names: BTreeSet<&str> = one_of.iter().chain(&other_of).map(|(name, _)| *name).collect();
    let before = found.len();
    for name in names {
        let path = match path {
            path if other.is_array() => format!("{path}[{name}]"),
            "" | "spec" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        match (named(&one_of, name), named(&other_of, name)) {
            (Some(one), Some(other)) => differences(one, other, &path, found),
            _ => found.push(path),
        }
    }
    // The same items in another order.
    if found.len() == before {
        found.push(path.to_owned());
    }
}

/// The member `name`; of two variables with one name the later counts.
fn named<'v>(members: &[(&str, &'v Value)], name: &str) -> Option<&'v Value> {
    members.iter().rfind(|(own, _)| *own == name).map(|(_, value)| *value)
}

/// The members of an object, and the items of a list that have names.
fn members(value: &Value) -> Option<Vec<(&str, &Value)>> {
    match value {
        Value::Object(map) => Some(map.iter().map(|(key, value)| (key.as_str(), value)).collect()),
        Value::Array(list) => list.iter().map(|item| Some((item.get("name")?.as_str()?, item))).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Source;

    fn deployment(modules: &str) -> Manifest {
        let text =
            format!(r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{"modules": {modules}}}}}}}}}"#);
        Manifest::read(&Source::new("t", text)).unwrap()
    }

    #[test]
    fn one_bad_module_blocks_the_deployments_of_all() {
        let manifest = deployment(
            r#"{"good": {"settings": {"image": "a/b", "createOptions": {"ExposedPorts": {"80": {}}}}},
                "bad": {"settings": {"image": "c", "createOptions": {"HostConfig": {"Binds": ["///:/x"]}}}}}"#,
        );
        let rendering = render(&manifest, &RenderArgs::default(), false).unwrap();
        let created = rendering.created().unwrap();
        let kinds: Vec<&str> = created.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds, ["EdgeDeployment", "ServiceAccount", "ServiceAccount", "Service"]);
        assert_eq!(rendering.objects.stopped_at(), Some(objects::Stage::Deployments));
        let fault = &rendering.objects.faults[0];
        assert_eq!(fault.module.as_deref(), Some("bad"));
        assert!(fault.path.to_string().ends_with("HostConfig.Binds[0]"), "{fault}");
    }

    #[test]
    fn secrets_are_shown_when_asked_only_and_a_change_of_one_restarts() {
        let module = |value: &str| {
            deployment(&format!(
                r#"{{"m": {{"env": {{"KEY": {{"value": "{value}"}}}}, "settings": {{"image": "a"}}}}}}"#
            ))
        };
        let (old, new) = (module("hunter2"), module("hunter3"));
        let shown = |shown| format!("{:?}", render(&old, &RenderArgs::default(), shown).unwrap().created().unwrap());
        assert!(shown(true).contains("hunter2") && !shown(false).contains("hunter2"));
        let changes = changes(&old, &new, &RenderArgs::default()).unwrap();
        let restarts = PodChange::Restarts(vec!["containers[m].env[KEY].value".to_owned()]);
        assert_eq!(changes.pods, [("m".to_owned(), restarts)]);
        assert!(!format!("{:?}", changes.objects).contains("hunter"));
    }

    #[test]
    fn a_change_says_what_becomes_of_each_pod_and_why() {
        let module = |image: &str, status: &str, options: &str| {
            format!(r#"{{"status": "{status}", "settings": {{"image": "{image}", "createOptions": {options}}}}}"#)
        };
        let changes_of = |old: &[(&str, String)], new: &[(&str, String)], only: Option<&str>| {
            let text = |modules: &[(&str, String)]| {
                let entries: Vec<_> = modules.iter().map(|(id, module)| format!(r#""{id}": {module}"#)).collect();
                deployment(&format!("{{{}}}", entries.join(",")))
            };
            let args = RenderArgs { module: only.map(str::to_owned), ..RenderArgs::default() };
            let changes = changes(&text(old), &text(new), &args).unwrap();
            let pods = changes.pods.into_iter().map(|(id, change)| match change {
                PodChange::Starts => format!("{id} starts"),
                PodChange::Stops => format!("{id} stops"),
                PodChange::Restarts(fields) => format!("{id} {}", fields.join(" ")),
            });
            pods.collect::<Vec<_>>()
        };
        let plain = |image: &str| module(image, "running", "{}");
        let stopped = |image: &str| module(image, "stopped", "{}");
        let old = [
            ("same", plain("a:1")),
            ("image", plain("a:1")),
            ("gone", plain("a:1")),
            ("rests", stopped("a:1")),
            ("ends", plain("a:1")),
            ("begins", stopped("a:1")),
            ("bound", module("a:1", "running", r#"{"Labels": {"a": "b"}, "HostConfig": {"Binds": ["/a:/a"]}}"#)),
            (
                "ports",
                module("a:1", "running", r#"{"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}}"#),
            ),
        ];
        let new = [
            ("same", plain("a:1")),
            ("image", plain("a:2")),
            ("rests", stopped("a:2")),
            ("ends", stopped("a:1")),
            ("begins", plain("a:1")),
            (
                "bound",
                module(
                    "a:1",
                    "running",
                    r#"{"Labels": {"a": "c"}, "HostConfig": {"Binds": ["/b:/b"], "PidMode": "host"}}"#,
                ),
            ),
            (
                "ports",
                module("a:1", "running", r#"{"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "81"}]}}}"#),
            ),
            ("new", plain("a:1")),
        ];
        let expected = [
            "image containers[image].image",
            "begins starts",
            "bound metadata.annotations.a containers[bound].volumeMounts[a] containers[bound].volumeMounts[b] volumes[a] volumes[b]",
            "new starts",
            "gone stops",
            "ends stops",
        ];
        assert_eq!(changes_of(&old, &new, None), expected);
        assert_eq!(changes_of(&old, &new, Some("new")), ["new starts"]);
        // Kubernetes starts the pod anew for another order too.
        let env = |order: &str| [("m", module("a", "running", &format!(r#"{{"Env": [{order}]}}"#)))];
        assert_eq!(changes_of(&env(r#""A=1", "B=2""#), &env(r#""B=2", "A=1""#), None), ["m containers[m].env"]);
    }
}
