use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # User who may not write to a volume
    ///
    /// A module that doesn't run as root may find the volumes that it mounts closed to it: some storage classes hand
    /// out directories that belong to root. `fsGroup` gives them to a group which the module is in. Without it, a
    /// module may start well and fail at its first write with a permission error.
    ///
    /// Only a user that stands in `k8s-experimental.securityContext` is seen; an image may name one of its own, which
    /// no manifest shows.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "results", "Target": "/results" }] },
    ///   "k8s-experimental": { "securityContext": { "runAsUser": 1000 } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "results", "Target": "/results" }] },
    ///   "k8s-experimental": { "securityContext": { "runAsUser": 1000, "fsGroup": 1000 } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the group must fit the volume: it proposes the group of the module, or the number of its user.
    id: "storage-volume-group",
    codes: &["STO-018"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.persistent-is-volume"],
    source: "K8S-BP perstorage; IE-HOST",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let context = |key| module.option(&["k8s-experimental", "securityContext", key]);
    let Some((user, id)) = context("runAsUser").and_then(|at| Some((at, at.as_i64().filter(|id| *id > 0)?))) else {
        return Verdict::NotApplicable;
    };
    let volumes = written(module);
    let [first, others @ ..] = volumes.as_slice() else { return Verdict::NotApplicable };
    if context("fsGroup").is_some() {
        return Verdict::Judged(Vec::new());
    }
    let group = context("runAsGroup").and_then(At::as_i64).unwrap_or(id);
    let path = module.option_path(&["k8s-experimental", "securityContext", "fsGroup"]);
    let finding = Finding::new(Severity::Warn, format!("user {id} may not be allowed to write to its volume"))
        .at(user.member_span(), "not root, and no `fsGroup` beside it")
        .related(*first, "mounted for writing")
        .because("a volume can belong to root alone, and the first write then fails")
        .fix(Fix::ask(format!("give the volumes to the group {group}")).set(path, group));
    Verdict::Judged(vec![others.iter().fold(finding, |finding, span| finding.related(*span, "so is this"))])
}

/// The shares and claims that are mounted for writing. Paths of the host are left out: `fsGroup` does nothing for
/// those.
fn written(module: Module<'_>) -> Vec<Span> {
    let shares = module.mounts().into_iter().filter(|mount| mount.is("volume") && !mount.read_only);
    let shares = shares.filter_map(|mount| mount.source).map(At::span);
    shares.chain(module.pod_volumes().into_iter().filter_map(|volume| volume.claim()).map(At::span)).collect()
}
