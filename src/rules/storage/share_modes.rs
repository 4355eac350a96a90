use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::dns_label;
use crate::manifest::{Manifest, Module, Mount, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Share read-only for one module and not for another
    ///
    /// All modules that mount a share use one claim, and the access mode of that claim is the mode of whichever module
    /// comes first. If that is a read-only one, the claim asks for a mode that the share's volume lacks, and **every**
    /// module with this share waits for it. A claim can't be changed either: to switch a share from one mode to the
    /// other in a later deployment is refused.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "settings": { "image": "t:1", "createOptions": { "HostConfig": { "Mounts": [
    ///     { "Type": "volume", "Source": "models", "Target": "/models" }] } } } },
    ///   "scorer": { "settings": { "image": "s:1", "createOptions": { "HostConfig": { "Mounts": [
    ///     { "Type": "volume", "Source": "models", "Target": "/models", "ReadOnly": true }] } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "settings": { "image": "t:1", "createOptions": { "HostConfig": { "Mounts": [
    ///     { "Type": "volume", "Source": "models", "Target": "/models" }] } } } },
    ///   "scorer": { "settings": { "image": "s:1", "createOptions": { "HostConfig": { "Mounts": [
    ///     { "Type": "volume", "Source": "models", "Target": "/models" }] } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because it gives the right to write: `ReadOnly` is removed everywhere, the only mode that the volume of a
    /// share has (STO-007). That a claim can't be changed is inferred from Kubernetes, not seen on a device.
    id: "storage-share-modes",
    codes: &["STO-008"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.persistent-is-volume"],
    source: "agent `EdgeDeploymentController.cs` (one claim for a name, the first wins)",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let mut shares: BTreeMap<String, Vec<User<'_>>> = BTreeMap::new();
    for module in manifest.modules() {
        for (claim, user) in users(module) {
            shares.entry(claim).or_default().push(user);
        }
    }
    Verdict::each(shares.into_values().filter(|users| users.len() > 1), |users| {
        let reader = users.iter().find(|user| user.is_reader())?;
        let writer = users.iter().find(|user| !user.is_reader())?;
        let (name, source) = (reader.name, reader.mounts[0].source?);
        let message =
            format!("share `{name}` is read-only in `{}` and writable in `{}`", reader.module.id(), writer.module.id());
        let fix = Fix::ask("let every module write, and make the share read-only on the device if it must be");
        let read_only = users.iter().filter(|user| user.is_reader()).flat_map(|user| &user.mounts);
        let flags = read_only.filter_map(|mount| mount.at.get_ignoring_case("ReadOnly"));
        Some(
            Finding::new(Severity::Warn, message)
                .at(source.part(0..name.len()), "read-only here")
                .related(writer.mounts[0].source?.span(), "writable here")
                .because("they share one claim, whose mode one of them decides; if the read-only one does, both wait")
                .fix(flags.fold(fix, |fix, flag| fix.remove(flag.path()))),
        )
    })
}

/// A module that mounts a share, once or several times.
struct User<'m> {
    module: Module<'m>,
    name: &'m str,
    mounts: Vec<Mount<'m>>,
}

impl User<'_> {
    /// Of several mounts of one module the writable one wins (`k8s-translation.md` §2, volume merge rule).
    fn is_reader(&self) -> bool {
        self.mounts.iter().all(|mount| mount.read_only)
    }
}

/// The shares of a module by the name of their claim.
fn users(module: Module<'_>) -> BTreeMap<String, User<'_>> {
    let mut users = BTreeMap::new();
    for mount in module.mounts().into_iter().filter(|mount| mount.is("volume")) {
        let name = mount.source.and_then(At::as_str).filter(|name| !has_placeholder(name));
        if let Some((name, claim)) = name.and_then(|name| Some((name, dns_label(name)?))) {
            users.entry(claim).or_insert_with(|| User { module, name, mounts: Vec::new() }).mounts.push(mount);
        }
    }
    users
}
