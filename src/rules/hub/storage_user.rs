use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, MountPoint, Mounted, has_placeholder};
use crate::target::Platform;

/// The user of edgeHub, and its group.
const USER: u16 = 1000;

rule! {
    /// # Storage that edgeHub may not write to
    ///
    /// edgeHub runs as user 1000. A volume that belongs to root is closed to it, and it does not come up or keeps
    /// nothing. Kubernetes hands a claim over to a group that `k8s-experimental.securityContext.fsGroup` names. A
    /// directory of the node it hands over to nobody: one that it makes itself belongs to root.
    ///
    /// Shares of the device, mounted as `Mounts` of type `volume`, are not reported: the documented sample for edgeHub
    /// uses one as it is.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": { "storageFolder": { "value": "/storage" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///       "k8s-experimental": { "volumes": [{
    ///         "volume": { "name": "messages", "persistentVolumeClaim": { "claimName": "hub-messages" } },
    ///         "volumeMounts": [{ "name": "messages", "mountPath": "/storage" }] }] } } } }
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
    ///       "k8s-experimental": {
    ///         "securityContext": { "fsGroup": 1000 },
    ///         "volumes": [{
    ///           "volume": { "name": "messages", "persistentVolumeClaim": { "claimName": "hub-messages" } },
    ///           "volumeMounts": [{ "name": "messages", "mountPath": "/storage" }] }] } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks for claims, and sets `fsGroup` to 1000. For a directory of the node only words help.
    id: "hub-storage-user",
    codes: &["HUB-004"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "IE-HOST; K8S-BP perstorage and ase",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let folder = module.storage_folder().filter(|_| module.is_system() && module.id() == "edgeHub");
    let mount = folder.filter(|folder| !has_placeholder(folder.value)).and_then(|folder| module.mount_of(folder.value));
    Verdict::each(mount, |mount| judge(module, &mount))
}

fn judge(module: Module<'_>, mount: &MountPoint<'_>) -> Option<Finding> {
    let context = |key| module.option(&["k8s-experimental", "securityContext", key]).is_some();
    let on_node = match mount.from {
        Mounted::Bind(_) => true,
        Mounted::Mount(mount) => mount.is("bind"),
        Mounted::Pod(_) => false,
    };
    let claim = matches!(mount.from, Mounted::Pod(volume) if volume.claim().is_some());
    let finding = Finding::new(Severity::Warn, "edgeHub may not be allowed to write to its storage")
        .because("edgeHub runs as user 1000: where it cannot write it does not come up, or keeps no message");
    if on_node && !context("runAsUser") {
        let way_out = "give the directory on the node to user 1000, or keep the messages on a share";
        return Some(
            finding.at(mount.span, "a directory of the node, root's if Kubernetes makes it").fix(Fix::advice(way_out)),
        );
    }
    (claim && !context("fsGroup") && !context("runAsUser")).then(|| {
        let fix = Fix::ask("hand the volume over to edgeHub's group");
        let path = module.option_path(&["k8s-experimental", "securityContext", "fsGroup"]);
        finding.at(mount.span, "a claim without `fsGroup`").fix(fix.set(path, USER))
    })
}
