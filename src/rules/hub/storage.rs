use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module, Mounted, has_placeholder};
use crate::target::Platform;

/// Where edgeHub is told to keep messages, and the share is mounted, if nothing else is written.
const FOLDER: &str = "/storage";

rule! {
    /// # edgeHub that forgets its messages
    ///
    /// edgeHub confirms a message when it has stored it, not when IoT Hub has it. It stores in its container. On Docker
    /// a restart keeps the container and its files; on Kubernetes it does not: what was confirmed and not yet sent is
    /// lost with the pod.
    ///
    /// It takes both: `storageFolder` in edgeHub's environment, and something that outlives the pod mounted there.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {} } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": { "storageFolder": { "value": "/storage" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///       "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "message-storage", "Target": "/storage" }] } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because it needs the name of a share: where the site has just one (`--site shares=…`), it is offered, else
    /// there are words only.
    id: "hub-storage",
    codes: &["HUB-003"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-BP perstorage and ase; IE-HOST; IE-OFF",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    // Without settings it is a layer over an edgeHub that is written elsewhere.
    if !(module.is_system() && module.id() == "edgeHub") || module.entry().get("settings").is_none() {
        return Verdict::NotApplicable;
    }
    let folder = module.storage_folder();
    // Where a mark stands for either path, they may well be the same.
    let unclear = folder.is_some_and(|folder| has_placeholder(folder.value))
        || module.mount_points().iter().any(|point| has_placeholder(point.target));
    let mount = folder.and_then(|folder| module.mount_of(folder.value));
    let lasting = mount.is_some_and(|mount| match mount.from {
        Mounted::Pod(volume) => !volume.is_temporary(),
        Mounted::Bind(_) | Mounted::Mount(_) => true,
    });
    Verdict::from((!lasting && !unclear).then(|| finding(module, folder.as_ref(), context)))
}

fn finding(module: Module<'_>, folder: Option<&EnvVar<'_>>, context: &Context<'_>) -> Finding {
    let (span, label) = match folder {
        Some(folder) => (folder.value_span(), "nothing that lasts is mounted here"),
        None => (module.entry().key_span(), "no `storageFolder`"),
    };
    Finding::new(Severity::Warn, "edgeHub keeps messages in its container")
        .at(span, label)
        .because("messages that it has confirmed and not yet sent are lost at every restart")
        .fix(keep(module, folder, context))
}

fn keep(module: Module<'_>, folder: Option<&EnvVar<'_>>, context: &Context<'_>) -> Fix {
    let target = folder.map_or(FOLDER, |folder| folder.value.trim_end_matches('/'));
    let shares: Vec<_> = context.site.shares.iter().flatten().collect();
    // A second thing at one path is refused.
    let taken = module.mount_points().iter().any(|point| point.target.trim_end_matches('/') == target);
    let [share] = shares.as_slice() else {
        return Fix::advice(format!(
            "set `storageFolder` to `{target}`, and mount a share there as a `volume` in `HostConfig.Mounts`"
        ));
    };
    if taken {
        return Fix::advice(format!(
            "set `storageFolder` to `{target}`, and see that something lasting is mounted there"
        ));
    }
    let fix = Fix::ask(format!("keep messages on the share `{share}`"));
    let mount = json!({ "Type": "volume", "Source": share, "Target": target });
    let fix = match module.option(&["HostConfig", "Mounts"]) {
        Some(mounts) => fix.append(mounts.path(), mount),
        None => module.set_option(fix, &["HostConfig", "Mounts"], json!([mount])),
    };
    match folder {
        Some(_) => fix,
        None => fix.set(module.entry().path().key("env").key("storageFolder").key("value"), target),
    }
}
