use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostPath, Module};
use crate::target::Platform;

rule! {
    /// # File that is mounted now
    ///
    /// On this device the module has a file of the host mounted. That works on Docker; on Kubernetes only directories can be
    /// mounted, and the module would never leave `ContainerCreating`. `storage-file-bind` tells by the name what is a file; this rule has
    /// looked.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "running", "mounts": [
    ///   { "kind": "bind", "source": "/opt/scorer/labels", "target": "/app/labels", "read_only": true, "is_file": true }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running", "mounts": [
    ///   { "kind": "bind", "source": "/opt/scorer", "target": "/app/data", "read_only": true, "is_file": false }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the module must learn where its file is.
    id: "storage-mounted-file",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Engine],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "migration rules STO-003; Docker `HEAD /containers/ID/archive`",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(container) = sighting.container else { return Verdict::NotApplicable };
    let declared = sighting.declared.map(Module::host_mounts).unwrap_or_default();
    // What tells by its name is said by `storage-file-bind`.
    let is_said = |source: &str| {
        declared
            .iter()
            .any(|mount| mount.source() == source && matches!(mount.host_path(), HostPath::File | HostPath::Device))
    };
    // IoT Edge mounts its own sockets, and on Kubernetes makes them available in another way.
    let files = container.mounts.iter().filter(|mount| mount.is_file.is_some() && !is_said(&mount.source));
    let files = files
        .filter(|mount| !mount.target.starts_with("/var/run/iotedge/") && !mount.target.starts_with("/run/iotedge/"));
    Verdict::each(files, |mount| {
        mount.is_file.filter(|is_file| *is_file)?;
        let message = format!("`{}` has the file `{}` mounted, and only directories can be", sighting.id, mount.source);
        let finding = Finding::new(Severity::Block, message)
            .because("on Kubernetes the module would never leave ContainerCreating");
        Some(finding.fix(Fix::advice("keep it in a directory of its own and mount that, or make it a ConfigMap")))
    })
}
