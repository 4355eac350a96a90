use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::object_name;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

/// Names that are taken in every IoT Edge namespace, and by what.
const TAKEN: [(&str, &str); 5] = [
    ("proxy", "the sidecar in every module pod, and a pod cannot have two containers of one name"),
    ("iotedged", "the Deployment and the Service of the IoT Edge daemon"),
    ("default", "the service account of the namespace"),
    ("edgeagent", "the system module edgeAgent"),
    ("edgehub", "the system module edgeHub"),
];

rule! {
    /// # Module name that is taken
    ///
    /// Some names are there in every IoT Edge namespace: `proxy` is the sidecar's container, `iotedged` the daemon's Service
    /// and Deployment, `default` the namespace's own service account, `edgeagent` and `edgehub` the system modules. A
    /// module whose Kubernetes name is one of them does not come up, or keeps the deployment from being applied.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "Proxy": { "settings": { "image": "nginx:1.25" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "web-proxy": { "settings": { "image": "nginx:1.25" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: rename the module. Its identity, its twin and the routes that name it change with it.
    id: "naming-reserved",
    codes: &["NAM-006"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["naming.kubernetes-names"],
    source: "agent `KubernetesDeploymentMapper.cs`; chart templates; K8S-VAL",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() || has_placeholder(module.id()) {
        return Verdict::NotApplicable;
    }
    let name = object_name(module.id());
    // Where the system module is in the document the two collide: NAM-002.
    let owned = module.manifest().system_modules().any(|other| object_name(other.id()) == name);
    let taken = TAKEN.iter().find(|(taken, _)| *taken == name && !owned);
    Verdict::from(taken.map(|(_, by)| {
        Finding::new(Severity::Block, format!("the name `{name}` is taken on Kubernetes"))
            .at(module.entry().key_span(), format!("is called `{name}` there"))
            .because(format!("it belongs to {by}"))
            .fix(Fix::advice("rename the module, and the routes and calls that name it"))
    }))
}
