use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::volume;
use crate::manifest::{Module, Mount, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Mount that is dropped
    ///
    /// The agent translates mounts of type `bind` and `volume`. `tmpfs` mounts, `HostConfig.Tmpfs` and anonymous
    /// `Volumes` are dropped without a word: the module writes into its container instead, onto the node's disk, and
    /// loses that at its next restart. A `tmpfs` mount without a source, which is how Docker wants it, is worse: the
    /// agent refuses it, and with it the whole deployment.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Tmpfs": { "/scratch": "size=64m" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// An `emptyDir` volume of the pod, in memory for a `tmpfs`.
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "volumes": [{
    ///     "volume": { "name": "scratch", "emptyDir": { "medium": "Memory", "sizeLimit": "64Mi" } },
    ///     "volumeMounts": [{ "name": "scratch", "mountPath": "/scratch" }] }] },
    ///   "HostConfig": { "Mounts": [{ "Type": "volume", "Source": "input", "Target": "/home/input" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe for `tmpfs`: it becomes an `emptyDir` in memory, with the size limit that it had. An anonymous volume asks:
    /// an `emptyDir` on disk is the nearest thing, but data that must outlive the pod wants a share.
    id: "storage-untranslated-mount",
    codes: &["STO-014"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.volume-mounts"],
    source: "agent `KubernetesDeploymentMapper.cs`; K8S-CO, volumes; SPATIAL",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let members = |keys: &[&str]| module.option(keys).into_iter().flat_map(At::members).collect::<Vec<_>>();
    let mounts = module.mounts().into_iter().map(Place::Mount);
    let tmpfs = members(&["HostConfig", "Tmpfs"]).into_iter().map(Place::Tmpfs);
    let volumes = members(&["Volumes"]).into_iter().map(Place::Volume);
    Verdict::each(mounts.chain(tmpfs).chain(volumes), |place| match place {
        Place::Mount(mount) if mount.is("tmpfs") => Some(tmpfs_mount(module, &mount)),
        Place::Mount(mount) => other_mount(&mount),
        Place::Tmpfs(member) => Some(tmpfs_option(module, member)),
        Place::Volume(member) => Some(anonymous(module, member)),
    })
}

/// The places where a module asks for storage.
enum Place<'m> {
    Mount(Mount<'m>),
    Tmpfs(At<'m>),
    Volume(At<'m>),
}

fn tmpfs_mount(module: Module<'_>, mount: &Mount<'_>) -> Finding {
    let target = mount.target.and_then(At::as_str).unwrap_or_default();
    let at = mount.kind.unwrap_or(mount.at).span();
    let finding = if mount.source.is_some() {
        Finding::new(Severity::Silent, format!("the `tmpfs` at `{target}` is dropped"))
            .at(at, "only `bind` and `volume` are translated")
            .because("the module writes to the disk of the node instead of to memory")
    } else {
        Finding::new(Severity::Block, format!("the `tmpfs` at `{target}` makes the whole deployment fail"))
            .at(at, "only `bind` and `volume` are translated, and a mount without `Source` is refused")
            .because("the agent then fails as a whole: no module of the deployment is created or updated")
    };
    let options = mount.at.get_ignoring_case("TmpfsOptions");
    let size = options.and_then(|at| at.get_ignoring_case("SizeBytes")).and_then(At::as_i64);
    finding.fix(in_memory(module, mount.at, target, size.and_then(|size| u64::try_from(size).ok())))
}

fn tmpfs_option(module: Module<'_>, member: At<'_>) -> Finding {
    let target = member.key().unwrap_or_default();
    let size = member.as_str().unwrap_or_default().split(',').find_map(|option| size(option.strip_prefix("size=")?));
    Finding::new(Severity::Silent, format!("the `tmpfs` at `{target}` is dropped"))
        .at(member.key_span(), "`Tmpfs` is not translated")
        .because("the module writes to the disk of the node instead of to memory")
        .fix(in_memory(module, member, target, size))
}

fn anonymous(module: Module<'_>, member: At<'_>) -> Finding {
    let target = member.key().unwrap_or_default();
    let volumes = module.option_path(&["k8s-experimental", "volumes"]);
    Finding::new(Severity::Silent, format!("the anonymous volume at `{target}` is dropped"))
        .at(member.key_span(), "`Volumes` is not translated")
        .because("what the module keeps there is lost at its next restart")
        .fix(
            Fix::ask("keep it as long as the pod; if the data must live longer, mount a share there")
                .remove(member.path())
                .append(volumes, volume::on_disk(&volume::name("volume", target), target)),
        )
}

/// A mount of a type that is neither translated nor `tmpfs`; one without a type is incomplete, which is another rule's.
fn other_mount(mount: &Mount<'_>) -> Option<Finding> {
    let kind = mount.kind?;
    let name = kind.as_str().filter(|name| !has_placeholder(name))?;
    let complete = mount.source.is_some() && mount.target.is_some();
    (complete && !mount.is("bind") && !mount.is("volume")).then(|| {
        Finding::new(Severity::Silent, format!("the mount of type `{name}` is dropped"))
            .at(kind.span(), "only `bind` and `volume` are translated")
            .because("the module runs without it")
            .fix(Fix::advice("mount a share (`volume`) or a directory of the node (`bind`)"))
    })
}

fn in_memory(module: Module<'_>, from: At<'_>, target: &str, size: Option<u64>) -> Fix {
    Fix::safe("keep it in memory, by an `emptyDir`").remove(from.path()).append(
        module.option_path(&["k8s-experimental", "volumes"]),
        volume::in_memory(&volume::name("tmpfs", target), target, size),
    )
}

/// `64m` as mount options write it, in bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_mount_options() {
        assert_eq!(size("64m"), Some(64 << 20));
        assert_eq!(size("1G"), Some(1 << 30));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("50%"), None);
        assert_eq!(size("99999999999g"), None);
    }
}
