use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, Mount};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Share mounted read-only
    ///
    /// For a read-only volume the agent makes a claim with the access mode `ReadOnlyMany`. The volume of a share offers
    /// `ReadWriteOnce` and `ReadWriteMany` only, and a claim whose mode the volume lacks is never bound: the module
    /// stays Pending.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [
    ///     { "Type": "volume", "Source": "models", "Target": "/models", "ReadOnly": true }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Make the share read-only on the device, not in the mount.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "models", "Target": "/models" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because it gives the module the right to write: `ReadOnly` is removed. The mismatch was seen on plain
    /// Kubernetes 1.20 and the modes in the device's documentation; try it on your device.
    id: "storage-read-only-share",
    codes: &["STO-007"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.persistent-is-volume"],
    source: "agent `KubernetesPvcMapper.cs`; ASE-STATIC sample; VolumeMismatch observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let volumes = module.mounts().into_iter().filter(|mount| mount.is("volume"));
    Verdict::each(volumes, |mount: Mount<'_>| {
        let read_only = mount.at.get_ignoring_case("ReadOnly").filter(|_| mount.read_only)?;
        let name = mount.source.and_then(At::as_str).unwrap_or_default();
        let finding = Finding::new(Severity::Block, format!("share `{name}` is mounted read-only"))
            .at(read_only.member_span(), "asks for an access mode that a share does not have")
            .because("the claim is never bound, so the module stays Pending")
            .fix(Fix::ask("let the module write, and make the share read-only on the device").remove(read_only.path()));
        Some(finding)
    })
}
