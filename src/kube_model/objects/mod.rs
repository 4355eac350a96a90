//! The Kubernetes objects that the agent makes of a deployment (`k8s-translation.md` §0 to §8), and what stops it on the
//! way: one module that cannot be translated stops a stage for all.

mod claim;
mod custom;
mod ignored;
mod parameters;
mod place;
mod plain;
mod pod;
mod registry;
mod service;
mod shape;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

pub use self::claim::{claims, equal as claims_equal};
pub use self::custom::{EdgeDeployment, custom_object, custom_object_name};
pub use self::parameters::{Extensions, ModuleVolume, Parameters, ServiceOptions};
pub(crate) use self::place::{Refused, refused_of};
pub(crate) use self::plain::is_plain;
pub use self::pod::deployment;
pub use self::registry::{RegistryCredential, pull_secret, pull_secret_name};
pub use self::service::{port_key, service};
use super::AgentSettings;
use super::admission::{Refusal, refusals};
use super::names::{k8s_value, label_value};
use crate::manifest::{Form, Manifest, Module};
use crate::target::Agent;
use crate::text::{At, Path, Span};

/// The label that has the name of a module's Deployment.
pub(super) const MODULE_LABEL: &str = "net.azure-devices.edge.module";

/// The label that has the device.
const DEVICE_LABEL: &str = "net.azure-devices.edge.deviceid";

/// The label that has the IoT hub, up to beta8.
const HUB_LABEL: &str = "net.azure-devices.edge.hub";

/// The annotation that has the module's own name.
pub(super) const MODULE_ID: &str = "net.azure-devices.edge.original-moduleid";

/// The annotation with what an object was made of, by which the agent sees changes.
const CREATION_STRING: &str = "net.azure-devices.edge.creationstring";

/// Labels, annotations and selectors.
pub type Labels = BTreeMap<String, String>;

/// What the agent makes of a deployment.
#[derive(Debug)]
pub struct Objects {
    /// Those of each module, in the order of the deployment.
    pub modules: Vec<ModuleObjects>,
    /// Image pull secrets.
    pub pull_secrets: Vec<Secret>,
    /// The `EdgeDeployment`, which the agent writes first and works off then; none where it does not come that far.
    pub custom_object: Option<EdgeDeployment>,
    /// Everything that the agent throws, the first that it meets first.
    pub faults: Vec<Fault>,
}

/// What the agent makes of one module. What it cannot make is missing, and a fault says why.
#[derive(Debug)]
pub struct ModuleObjects {
    /// The name in the deployment.
    pub id: String,
    /// The identity of the pod.
    pub service_account: Option<ServiceAccount>,
    /// Its ports, if it has any.
    pub service: Option<Service>,
    /// The pod.
    pub deployment: Option<Deployment>,
    /// Claims that no module before has made already.
    pub claims: Vec<PersistentVolumeClaim>,
    /// What of createOptions has no effect.
    pub ignored: Vec<Ignored>,
}

/// Something in createOptions that does nothing on Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Where it stands below createOptions: `HostConfig.Devices`.
    pub option: String,
    /// Why it does nothing.
    pub because: &'static str,
}

/// How far the agent comes: it works off one stage after the other, each for all modules (`k8s-translation.md` §0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reading the deployment, before anything is written.
    Plan,
    /// Service accounts.
    ServiceAccounts,
    /// Services.
    Services,
    /// Deployments.
    Deployments,
    /// Claims.
    Claims,
}

/// What the agent throws, by its own kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// `InvalidKubernetesNameException`
    InvalidName,
    /// `InvalidMountException`
    InvalidMount,
    /// `InvalidIdentityException`
    InvalidIdentity,
    /// `InvalidModuleException`
    InvalidModule,
    /// `JsonSerializationException`
    Json,
    /// `ArgumentException`
    Argument,
    /// `NullReferenceException`
    NullReference,
    /// `IndexOutOfRangeException`
    IndexOutOfRange,
}

/// Something that the agent throws while it translates.
#[derive(Debug, Clone, Error)]
#[error("{}: {message} ({})", self.place(), kind.exception())]
pub struct Fault {
    /// The module; none where it is about the whole deployment.
    pub module: Option<String>,
    /// The stage that it stops.
    pub stage: Stage,
    /// What is thrown.
    pub kind: FaultKind,
    /// Where it stands in the manifest.
    pub path: Path,
    /// Its bytes.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

impl Fault {
    fn new(module: Module<'_>, stage: Stage, kind: FaultKind, at: At<'_>, message: impl Into<String>) -> Self {
        let module = Some(module.id().to_owned());
        Self { module, stage, kind, path: at.path(), span: at.span(), message: message.into() }
    }

    fn place(&self) -> String {
        match &self.module {
            Some(module) => format!("module {module} at {}", self.path),
            None => self.path.to_string(),
        }
    }
}

impl FaultKind {
    /// The name of the agent's exception.
    pub fn exception(self) -> &'static str {
        match self {
            FaultKind::InvalidName => "InvalidKubernetesNameException",
            FaultKind::InvalidMount => "InvalidMountException",
            FaultKind::InvalidIdentity => "InvalidIdentityException",
            FaultKind::InvalidModule => "InvalidModuleException",
            FaultKind::Json => "JsonSerializationException",
            FaultKind::Argument => "ArgumentException",
            FaultKind::NullReference => "NullReferenceException",
            FaultKind::IndexOutOfRange => "IndexOutOfRangeException",
        }
    }
}

impl Stage {
    /// What it makes, for people.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Plan => "plan",
            Stage::ServiceAccounts => "service accounts",
            Stage::Services => "services",
            Stage::Deployments => "deployments",
            Stage::Claims => "claims",
        }
    }
}

impl Objects {
    /// The stage that fails, so that neither it nor what comes after is carried out, for any module.
    pub fn stopped_at(&self) -> Option<Stage> {
        self.faults.iter().map(|fault| fault.stage).min()
    }

    /// The objects that the agent creates, in its order: those of the stages before [`Objects::stopped_at`].
    ///
    /// # Errors
    /// None of these types fails to be written as JSON.
    pub fn created(&self) -> Result<Vec<Value>, serde_json::Error> {
        let stopped = self.stopped_at();
        let reached = |stage: Stage| stopped.is_none_or(|stopped| stage < stopped);
        let mut all = Vec::new();
        if reached(Stage::Plan) {
            for secret in &self.pull_secrets {
                all.push(serde_json::to_value(secret)?);
            }
            if let Some(object) = &self.custom_object {
                all.push(serde_json::to_value(object)?);
            }
        }
        let modules = || self.modules.iter();
        if reached(Stage::ServiceAccounts) {
            for account in modules().filter_map(|module| module.service_account.as_ref()) {
                all.push(serde_json::to_value(account)?);
            }
        }
        if reached(Stage::Services) {
            for service in modules().filter_map(|module| module.service.as_ref()) {
                all.push(serde_json::to_value(service)?);
            }
        }
        if reached(Stage::Deployments) {
            for deployment in modules().filter_map(|module| module.deployment.as_ref()) {
                all.push(serde_json::to_value(deployment)?);
            }
        }
        if reached(Stage::Claims) {
            for claim in modules().flat_map(|module| &module.claims) {
                all.push(serde_json::to_value(claim)?);
            }
        }
        Ok(all)
    }
}

/// What the API server refuses of the objects that the agent sends, as kind, name and refusal. The first one ends the
/// agent's pass, so that nothing after it is sent.
pub fn refused(created: &[Value]) -> Vec<(String, String, Refusal)> {
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = |object| {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        refusals(object).into_iter().map(move |refusal| (kind.clone(), name.clone(), refusal))
    };
    created.iter().flat_map(of).collect()
}

/// Translates `manifest` as the agent with `settings` does. Every module is translated, also those that come after a
/// fault, so that all faults are found at once.
pub fn translate(manifest: &Manifest, settings: &AgentSettings) -> Objects {
    let mut faults = identity_faults(manifest);
    let credentials = RegistryCredential::of(manifest);
    let mut pull_secrets: BTreeMap<String, Secret> = BTreeMap::new();
    let mut claimed = BTreeSet::new();
    let device = device_labels(settings);
    let count = manifest.modules().count();
    let (mut modules, mut planned) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for module in manifest.modules() {
        let mut parameters = match Parameters::read(module, settings) {
            Ok(parameters) => parameters,
            Err(fault) => {
                faults.push(*fault);
                continue;
            }
        };
        if let Some(credential) = credentials.iter().find(|credential| credential.is_for(&parameters.image)) {
            match pull_secret_name(&credential.username, &credential.address, settings.agent) {
                Some(name) => {
                    pull_secrets
                        .entry(name.clone())
                        .or_insert_with(|| pull_secret(credential, &name, &device, settings));
                    parameters.pull_secret = Some(name);
                }
                None => faults.push(Fault::new(
                    module,
                    Stage::Plan,
                    FaultKind::InvalidName,
                    credential.at,
                    "no name for an image pull secret can be made of user and address",
                )),
            }
        }
        let labels = module_labels(&parameters.name, &device, settings);
        let mut keep = |fault: Box<Fault>| faults.push(*fault);
        let service = service(&parameters, &labels, settings).map_err(&mut keep).ok().flatten();
        let deployment = deployment(&parameters, &labels, settings).map_err(&mut keep).ok();
        let made = claims(&parameters, &device, settings).map_err(&mut keep).unwrap_or_default();
        // Where several modules share a source the first one's claim stays.
        let new = made.into_iter().filter(|claim| claimed.insert(claim.metadata.name.clone()));
        modules.push(ModuleObjects {
            id: module.id().to_owned(),
            service_account: Some(service_account(&parameters, &labels, settings)),
            service,
            deployment,
            claims: new.collect(),
            ignored: parameters.ignored(settings),
        });
        planned.push(parameters);
    }
    faults.sort_by_key(|fault| fault.stage);
    let custom_object = match faults.first() {
        Some(fault) if fault.stage == Stage::Plan => None,
        _ => custom_object(&planned, settings),
    };
    Objects { modules, pull_secrets: pull_secrets.into_values().collect(), custom_object, faults }
}

/// What the agent throws over `module` alone, the first that it meets first.
pub(crate) fn faults_of(module: Module<'_>, settings: &AgentSettings) -> Vec<Fault> {
    let parameters = match Parameters::read(module, settings) {
        Ok(parameters) => parameters,
        Err(fault) => return vec![*fault],
    };
    let labels = Labels::new();
    let service = service(&parameters, &labels, settings).err();
    let deployment = deployment(&parameters, &labels, settings).err();
    let claims = claims(&parameters, &labels, settings).err();
    [service, deployment, claims].into_iter().flatten().map(|fault| *fault).collect()
}

/// The service account of a module.
pub fn service_account(parameters: &Parameters<'_>, labels: &Labels, settings: &AgentSettings) -> ServiceAccount {
    let annotations = Labels::from([(MODULE_ID.to_owned(), parameters.module.id().to_owned())]);
    ServiceAccount { metadata: metadata(&parameters.name, labels, Some(annotations), settings), ..Default::default() }
}

/// Modules that cannot be told apart, and kinds that the agent does not know.
fn identity_faults(manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for module in manifest.modules() {
        let kind = module.entry().get("type").and_then(At::as_str);
        if let Some(kind) =
            kind.filter(|kind| !kind.eq_ignore_ascii_case("docker") && manifest.form() != Form::CreateOptions)
        {
            let message = format!("the type `{kind}` is not docker");
            faults.push(Fault::new(module, Stage::Plan, FaultKind::InvalidModule, module.entry(), message));
        }
        match k8s_value(module.id()) {
            None => {
                let message = "the name has more than 253 characters";
                faults.push(Fault::new(module, Stage::Plan, FaultKind::InvalidName, module.entry(), message));
            }
            Some(name) => {
                if let Some(first) = seen.insert(name.clone(), module.id()) {
                    let message = format!("is `{name}` on Kubernetes, as module {first} is");
                    faults.push(Fault::new(module, Stage::Plan, FaultKind::InvalidIdentity, module.entry(), message));
                }
            }
        }
    }
    faults
}

fn device_labels(settings: &AgentSettings) -> Labels {
    let device = label_value(&settings.device).unwrap_or_default();
    Labels::from([(DEVICE_LABEL.to_owned(), device)])
}

fn module_labels(name: &str, device: &Labels, settings: &AgentSettings) -> Labels {
    let mut labels = device.clone();
    labels.insert(MODULE_LABEL.to_owned(), name.to_owned());
    if settings.agent < Agent::beta(9) {
        labels.insert(HUB_LABEL.to_owned(), label_value(&settings.hub).unwrap_or_default());
    }
    labels
}

fn metadata(name: &str, labels: &Labels, annotations: Option<Labels>, settings: &AgentSettings) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(settings.namespace.clone()),
        labels: Some(labels.clone()),
        annotations,
        owner_references: Some(vec![settings.owner.reference()]),
        ..Default::default()
    }
}

/// The annotation by which the agent sees later whether `object` has changed.
fn creation_string(object: &impl Serialize) -> (String, String) {
    (CREATION_STRING.to_owned(), serde_json::to_string(object).unwrap_or_default())
}
