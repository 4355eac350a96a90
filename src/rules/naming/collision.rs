use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::object_name;
use crate::manifest::{Manifest, Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Modules with one name on Kubernetes
    ///
    /// Kubernetes objects are named after module ids in lower case, without characters such as `_`. Two modules whose names
    /// become equal (`MyMod` and `my_mod`, or anything that looks like `edgeHub`) cannot both be there: the agent refuses
    /// the **whole deployment**, with "Deployment will cause a name collision in Kubernetes namespace".
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "cameraFeed": { "settings": { "image": "feed:1" } },
    ///   "camera_feed": { "settings": { "image": "feed:2" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "camera-feed": { "settings": { "image": "feed:1" } },
    ///   "camera-feed-2": { "settings": { "image": "feed:2" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: rename one of them. Its identity, its twin and the routes that name it change with it.
    id: "naming-collision",
    codes: &["NAM-002"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &["naming.kubernetes-names"],
    source: "agent `KubernetesPlanner.cs`",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let mut names: BTreeMap<String, Vec<Module<'_>>> = BTreeMap::new();
    for module in manifest.modules().filter(|module| !has_placeholder(module.id())) {
        let name = object_name(module.id());
        // A name of which nothing is left is NAM-003's.
        if !name.is_empty() {
            names.entry(name).or_default().push(module);
        }
    }
    if names.is_empty() {
        return Verdict::NotApplicable;
    }
    // System modules come first, so a module that looks like one is the second.
    let clash = |(name, modules): (String, Vec<Module<'_>>)| {
        let (first, more) = modules.split_first()?;
        Some(more.iter().map(|second| finding(&name, *first, *second)).collect::<Vec<_>>())
    };
    Verdict::Judged(names.into_iter().filter_map(clash).flatten().collect())
}

fn finding(name: &str, first: Module<'_>, second: Module<'_>) -> Finding {
    Finding::new(Severity::Block, format!("`{}` and `{}` are both `{name}` on Kubernetes", first.id(), second.id()))
        .at(second.entry().key_span(), format!("becomes `{name}`"))
        .related(first.entry().key_span(), "as this one does")
        .because("the agent refuses the whole deployment: no module is made or updated")
        .fix(Fix::advice(format!("rename `{}`, and the routes and calls that name it", second.id())))
}
