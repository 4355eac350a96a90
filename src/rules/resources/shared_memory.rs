use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::volume;
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::At;

/// Where shared memory is mounted.
const SHM: &str = "/dev/shm";

rule! {
    /// # Size of shared memory
    ///
    /// `ShmSize` is not translated to Kubernetes: `/dev/shm` stays at the container's default. Programs that pass
    /// frames through shared memory start well and crash under load.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "ShmSize": 536870912 } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A directory in memory at `/dev/shm`. With it, `ShmSize` may stay for Docker.
    ///
    /// ```json,passes
    /// { "HostConfig": { "ShmSize": 536870912 },
    ///   "k8s-experimental": { "volumes": [{
    ///     "volume": { "name": "dshm", "emptyDir": { "medium": "Memory", "sizeLimit": "512Mi" } },
    ///     "volumeMounts": [{ "name": "dshm", "mountPath": "/dev/shm" }] }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the directory in memory is added with the same size, and `ShmSize` goes. That is for use inside one
    /// module. Modules that share memory with each other need `IpcMode: host` on each (IPC-002); a module that has it
    /// uses the shared memory of the node, which a directory of its own would cut it off from, and is left alone.
    id: "resources-shared-memory",
    codes: &["IPC-001"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.shared-memory"],
    source: "agent `KubernetesDeploymentMapper.cs`; SPATIAL; LVA",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["HostConfig", "ShmSize"]), |size| {
        let host = module.option(&["HostConfig", "IpcMode"]).and_then(At::as_str) == Some("host");
        if host || has_directory(module) || size.as_i64() == Some(0) {
            return None;
        }
        let finding = Finding::new(Severity::Silent, "`ShmSize` has no effect on Kubernetes")
            .at(size.member_span(), "not translated")
            .because("`/dev/shm` stays at its default size, and the module fails when that is full");
        Some(finding.fix(directory(module, size)))
    })
}

/// Whether something is mounted at `/dev/shm`.
fn has_directory(module: Module<'_>) -> bool {
    let mounts = module.pod_volumes().into_iter().flat_map(|volume| volume.mounts().collect::<Vec<_>>());
    let mut paths = mounts.filter_map(|(_, path)| path.as_str());
    paths.any(|path| path.trim_end_matches('/') == SHM)
}

fn directory(module: Module<'_>, size: At<'_>) -> Fix {
    match size.as_i64().and_then(|bytes| u64::try_from(bytes).ok()) {
        Some(bytes) => Fix::safe("mount a directory in memory of this size at `/dev/shm`")
            .remove(size.path())
            .append(module.option_path(&["k8s-experimental", "volumes"]), volume::in_memory("dshm", SHM, Some(bytes))),
        None => Fix::advice("mount an `emptyDir` in memory at `/dev/shm`, through `k8s-experimental.volumes`"),
    }
}
