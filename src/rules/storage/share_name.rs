use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::dns_label;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Share whose name is changed on the way
    ///
    /// The agent makes the name of the claim out of the name of the share: in lower case, and without everything that
    /// is no letter, digit or hyphen. Where that changes the name, the claim looks for a share of another name. Shares
    /// of the device are called by lower-case letters, digits and hyphens; only local ones may have capitals too, and
    /// no source says how the device names the volume of such a share.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "Scan_Results", "Target": "/results" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "scan-results", "Target": "/results" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the share on the device must be renamed too: the name becomes what the claim is called.
    id: "storage-share-name",
    codes: &["STO-009"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.source-is-share"],
    source: "ASE-SHARES, add a share and add a local share; agent `KubeUtils.SanitizeDNSLabel`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let volumes = module.mounts().into_iter().filter(|mount| mount.is("volume"));
    Verdict::each(volumes.filter_map(|mount| mount.source), |source| {
        let name = source.as_str().filter(|name| !has_placeholder(name))?;
        // Where no name can be made at all, rule STO-010 speaks.
        let claim = dns_label(name).filter(|claim| claim != name)?;
        let label = if name.eq_ignore_ascii_case(&claim) { "only local shares may have capitals" } else { NO_NAME };
        Some(
            Finding::new(Severity::Warn, format!("share `{name}` is looked for under the name `{claim}`"))
                .at(source.part(0..name.len()), label)
                .because("if the device has no volume of that name, the module waits for it and IoT Hub shows `failed`")
                .fix(rename(source, name, &claim)),
        )
    })
}

/// What is wrong with a name that differs in more than its case.
const NO_NAME: &str = "no name of a share: letters, digits and hyphens only";

fn rename(source: At<'_>, name: &str, claim: &str) -> Fix {
    // A share called `my_share` is better called `my-share` than `myshare`.
    let hyphened: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let proposed = dns_label(&hyphened).unwrap_or_else(|| claim.to_owned());
    Fix::ask(format!("call the share `{proposed}`, on the device and here")).set(source.path(), proposed)
}
