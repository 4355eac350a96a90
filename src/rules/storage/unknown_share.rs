use std::collections::BTreeSet;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::dns_label;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Volume without a share
    ///
    /// The source of a mount of type `volume` is the name of an SMB or NFS share of the device. The share must have
    /// been made with "Use the share with Edge compute", or be mounted afterwards if it is older than the compute
    /// configuration: only that makes the volume that Kubernetes can hand out. Without it the claim stays Pending and
    /// so does the module. IoT Hub then shows `failed` with an empty reason, which looks like a crash.
    ///
    /// The name counts as the agent writes it into the claim: in lower case, with letters, digits and hyphens only.
    ///
    /// Needs the names of the shares: `--site shares=input,results`.
    ///
    /// ## Example
    ///
    /// With the shares `input` and `results`:
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "inputs", "Target": "/home/input" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "input", "Target": "/home/input" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: make the share on the device, or correct the name.
    id: "storage-unknown-share",
    codes: &["STO-006"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions, Need::Shares],
    targets: &[Platform::AseK8s],
    seed: &["storage.source-is-share"],
    source: "seed, Storage; ASE-STO, storage provisioning; ASE-SHARES, mount a share; observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let Some(shares) = &context.site.shares else { return Verdict::NotApplicable };
    let volumes = module.mounts().into_iter().filter(|mount| mount.is("volume"));
    Verdict::each(volumes.filter_map(|mount| mount.source), |source| {
        let name = source.as_str()?;
        // What the claim is called counts; local shares may have capitals (rule STO-009 warns of that). Where no name can
        // be made, rule STO-010 speaks.
        let claim = dns_label(name).filter(|_| !has_placeholder(name))?;
        let known = shares.iter().any(|share| share.eq_ignore_ascii_case(&claim));
        let message = if name.eq_ignore_ascii_case(&claim) {
            format!("the site has no share `{name}`")
        } else {
            format!("the site has no share `{claim}`, as which `{name}` is looked for")
        };
        (!known).then(|| {
            Finding::new(Severity::Block, message)
                .at(source.part(0..name.len()), "not among the shares of the site")
                .because("the claim for it stays Pending and the module never starts; IoT Hub shows `failed`")
                .fix(Fix::advice(advice(&claim, shares)))
        })
    })
}

fn advice(name: &str, shares: &BTreeSet<String>) -> String {
    let made = format!("make the share `{name}` with \"Use the share with Edge compute\"");
    match shares.iter().map(|share| format!("`{share}`")).collect::<Vec<_>>().join(", ") {
        known if known.is_empty() => made,
        known => format!("{made}, or name one that is there: {known}"),
    }
}
