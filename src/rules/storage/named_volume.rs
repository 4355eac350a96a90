use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::dns_label;
use crate::manifest::{Bind, HostMount, HostPath, Module, has_placeholder};
use crate::target::{Agent, Platform};
use crate::text::At;

rule! {
    /// # Docker volume in `Binds`
    ///
    /// A bind whose source is a plain name is a volume that Docker manages. The agent on Kubernetes knows no such
    /// volume: it takes the name for a path of the host, Kubernetes accepts the relative path, and the module runs on
    /// an empty directory somewhere on the node.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["sqlvolume:/var/opt/mssql"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A mount of type `volume`, and a share of that name on the GPU device, made with "Use the share with Edge
    /// compute".
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "sqlvolume", "Target": "/var/opt/mssql" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe where a share can have the volume's name; the share must then be there, which rule STO-006 looks at.
    /// Where it can't (a share's name has 3 to 63 letters, digits and hyphens) the fix proposes another name and
    /// asks. Where a share of that name is mounted too, the agent makes one volume of the two from beta14 on, and the
    /// finding warns; earlier agents are STO-013's. A path such as `./data` needs a person. A read-only bind becomes a mount that can be written (STO-007).
    id: "storage-named-volume",
    codes: &["STO-004"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.no-binds", "storage.persistent-is-volume"],
    source: "agent `KubernetesDeploymentMapper.cs`; ASE-SHARES (names); running pod observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.host_mounts(), |mount| {
        let HostMount::Bind(bind) = mount else { return None };
        let source = bind.source;
        let finding = |message: String, label: &str| {
            Finding::new(Severity::Silent, message)
                .at(bind.source_span(), label)
                .because("Kubernetes takes it for a relative host path: the module runs on an empty directory")
        };
        let share = share_of_name(module, source);
        match (mount.host_path(), share) {
            // Up to beta13 the two make one name twice, and the module is refused (STO-013).
            (HostPath::Volume, Some(_)) if context.agent < Agent::beta(14) => None,
            (HostPath::Volume, Some(share)) => Some(
                Finding::new(Severity::Warn, format!("`{source}` is a volume of Docker, and a share in `Mounts`"))
                    .at(bind.source_span(), "becomes the share, by its name")
                    .related(share.span(), "the share")
                    .because("the agent keeps one volume of a name, so the module finds the share at both paths")
                    .fix(volume(module, &bind)),
            ),
            // Without a letter or digit the agent stops at it (STO-010).
            (HostPath::Volume, None) if source.contains(|c: char| c.is_ascii_alphanumeric()) => Some(
                finding(format!("`{source}` is a volume of Docker"), "nothing on the GPU device has this name")
                    .fix(volume(module, &bind)),
            ),
            (HostPath::Relative, _) => Some(
                finding(format!("`{source}` is a relative path"), "relative to nothing that you choose")
                    .fix(Fix::advice("mount a share, or an absolute directory of the node")),
            ),
            _ => None,
        }
    })
}

/// The share in `Mounts` that has the name of the Docker volume `name` in Kubernetes, and is writable, so that the agent
/// keeps it of the two (`k8s-translation.md` §2, volume merge rule).
fn share_of_name<'m>(module: Module<'m>, name: &str) -> Option<At<'m>> {
    let label = dns_label(name)?;
    let shares = module.mounts().into_iter().filter(|mount| mount.is("volume") && !mount.read_only);
    shares.filter_map(|mount| mount.source).find(|source| source.as_str().and_then(dns_label).as_ref() == Some(&label))
}

fn volume(module: Module<'_>, bind: &Bind<'_>) -> Fix {
    let name = bind.source;
    let (fix, share) = if is_share_name(name) {
        (Fix::safe(format!("mount a share `{name}`, which must be made, as a volume")), name.to_owned())
    } else if has_placeholder(name) {
        (Fix::ask(format!("mount a share as a volume, if `{name}` is its name")), name.to_owned())
    } else {
        let share = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        (Fix::ask(format!("mount a share as a volume; no share can be called `{name}`")), share)
    };
    fix.remove(bind.at.path()).append(
        module.option_path(&["HostConfig", "Mounts"]),
        json!({ "Type": "volume", "Source": share, "Target": bind.target }),
    )
}

fn is_share_name(name: &str) -> bool {
    (3..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
