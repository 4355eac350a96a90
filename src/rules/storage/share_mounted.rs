use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::{Container, Mounted, Observed, Process, Volume};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{HostPath, Module};
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # Share that is not really there
    ///
    /// A share of the device is declared for the module, and what is mounted in its place is something else: an empty directory of
    /// the host, a volume on the host's own disk, or nothing. The module runs, its input never arrives, and its output stays where nobody looks.
    /// A share that is mounted and does not answer is found as well.
    ///
    /// Of the module that looks, the kernel says what is mounted: a share has the file system `nfs` or `cifs`. Of siblings it says the same where
    /// their processes can be seen: on the host itself, or in a module with the process namespace of the host. Elsewhere the Docker engine says
    /// which directory of the host they have, whether it is empty, and which file system the options of a volume name (`type` and `o=addr=…`). What a volume's
    /// own driver does is not known, and not judged. A directory of the host shows what was mounted there when the container started.
    ///
    /// What is declared as a share: on Kubernetes a mount of type `volume`, on Docker one whose name is among `site.shares`; and everywhere a path
    /// below `/home/hcsshares`, or below one of `site.share_paths`.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "running", "mounts": [ { "kind": "bind",
    ///     "source": "/home/hcsshares/frames", "target": "/in", "read_only": false, "is_file": false, "is_empty": true }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running", "mounts": [ { "kind": "bind",
    ///     "source": "/home/hcsshares/frames", "target": "/in", "read_only": false, "is_file": false, "is_empty": false }] } } } }
    /// ```
    ///
    /// An output share may be empty because nothing was written yet: then the finding says so, and is gone with the first file.
    ///
    /// ## Fix
    ///
    /// Words only: mount the share on the host, or make it on the device with "Use the share with Edge compute".
    id: "storage-share-mounted",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Inside],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`ase-runtime.md` §2.6; migration rules STO-001, STO-006; `/proc/PID/mountinfo`, Docker `Mounts` and options of volumes",
    check: Check::Running(check),
}

const LOST: &str =
    "the module runs as if all were well; its input never arrives, and its output stays where nobody looks";

/// A share that the deployment declares, or that a path of the host names.
struct Share<'a> {
    name: &'a str,
    /// Where the module sees it.
    target: &'a str,
    /// Where that is written; nowhere for what only the engine knows.
    at: Option<Span>,
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    if !sighting.may_run() {
        return Verdict::NotApplicable;
    }
    let mut shares = sighting.declared.map(|module| declared(module, context)).unwrap_or_default();
    if let Some(container) = sighting.container {
        shares.extend(undeclared(container, &shares, context));
    }
    match (sighting.process, sighting.container) {
        // What the kernel says of ourselves is nearer than what the engine says.
        (Some(process), _) => Verdict::each(shares, |share| of_process(sighting.id, &share, process)),
        (None, Some(container)) => Verdict::each(shares, |share| of_container(sighting.id, &share, container)),
        (None, None) => Verdict::NotApplicable,
    }
}

fn declared<'a>(module: Module<'a>, context: &'a Context<'_>) -> Vec<Share<'a>> {
    let volumes = module.mounts().into_iter().filter(|mount| mount.is("volume")).filter_map(|mount| {
        let (source, target) = (mount.source?, mount.target.and_then(At::as_str)?);
        let name = source.as_str()?;
        // On Docker a volume is a share only if somebody says so.
        let known = context.site.shares.as_ref().is_some_and(|shares| shares.contains(name));
        (known || !context.target.platform.has_docker()).then_some(Share { name, target, at: Some(source.span()) })
    });
    let binds = module.host_mounts().into_iter().filter_map(|mount| {
        let name = share_of(mount.source(), context)?;
        Some(Share { name, target: mount.target(), at: Some(mount.source_span()) })
    });
    volumes.chain(binds).collect()
}

/// Shares that the engine mounts and nobody declared.
fn undeclared<'a>(container: &'a Container, declared: &[Share<'_>], context: &'a Context<'_>) -> Vec<Share<'a>> {
    let mounts =
        container.mounts.iter().filter(|mount| !declared.iter().any(|share| is_at(share.target, &mount.target)));
    let share =
        |mount: &'a Mounted| Some(Share { name: share_of(&mount.source, context)?, target: &mount.target, at: None });
    mounts.filter(|mount| mount.kind == "bind").filter_map(share).collect()
}

/// The share that a path of the host belongs to.
fn share_of<'a>(path: &'a str, context: &'a Context<'_>) -> Option<&'a str> {
    if let HostPath::Share { name, .. } = HostPath::of(path) {
        return Some(name).filter(|name| !name.is_empty());
    }
    let mut paths = context.site.share_paths.iter().flatten();
    let below = |place: &str| {
        path.strip_prefix(place.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    paths.find(|(_, place)| below(place)).map(|(name, _)| name.as_str())
}

fn of_process(id: &str, share: &Share<'_>, process: &Process) -> Option<Finding> {
    let Some(volume) = process.mounts.iter().find(|volume| is_at(share.target, &volume.target)) else {
        return Some(missing(id, share));
    };
    if volume.is_share() {
        return unanswering(volume).then(|| {
            finding(Severity::Silent, share, format!("share `{}` is mounted in `{id}` and does not answer", share.name))
                .because("its server is away or cannot be reached; whoever reads or writes there hangs")
                .fix(Fix::advice("look at the share in the local UI of the device, and at the network in between"))
        });
    }
    let system = &volume.file_system;
    let empty = volume.is_empty == Some(true);
    // On the FPGA device the shares are below that path, on whatever file system.
    let of_host = matches!(HostPath::of(share.target), HostPath::Share { .. });
    (empty || !of_host).then(|| {
        let what = if empty { "an empty directory" } else { "a directory" };
        let severity = if empty { Severity::Silent } else { Severity::Warn };
        let message = format!("`{}` of `{id}` is {what} on `{system}`, not the share `{}`", share.target, share.name);
        replaced(finding(severity, share, message))
    })
}

fn of_container(id: &str, share: &Share<'_>, container: &Container) -> Option<Finding> {
    let Some(mount) = container.mounts.iter().find(|mount| is_at(share.target, &mount.target)) else {
        return Some(missing(id, share));
    };
    let is_share = mount.is_share();
    if is_share == Some(true) {
        return None;
    }
    if mount.kind == "volume" {
        // A volume of Docker's own without options is a directory of the host; what others are, only their file system tells.
        let is_directory = mount.driver.is_none() && mount.file_system.is_none();
        let message =
            format!("`{}` of `{id}` is a volume on the host's own disk, not the share `{}`", share.target, share.name);
        let is_local = is_share == Some(false) || is_directory;
        return is_local.then(|| replaced(finding(Severity::Silent, share, message)));
    }
    let empty = mount.is_empty == Some(true);
    // On the FPGA device the shares are below that path, on whatever file system.
    let of_host = matches!(HostPath::of(&mount.source), HostPath::Share { .. });
    if let Some(system) = mount.file_system.as_ref().filter(|_| is_share == Some(false) && !of_host) {
        let severity = if empty { Severity::Silent } else { Severity::Warn };
        let message = format!(
            "`{}` of `{id}` is `{}` of the host on `{system}`, not the share `{}`",
            share.target, mount.source, share.name
        );
        let way_out =
            "mount the share there on the host, and start the module anew: a container keeps what it started with";
        return Some(finding(severity, share, message).because(LOST).fix(Fix::advice(way_out)));
    }
    empty.then(|| {
        let message =
            format!("`{}` of `{id}`, the share `{}` by `{}`, is empty", share.target, share.name, mount.source);
        finding(Severity::Silent, share, message)
            .because("where the share is not mounted on the host, Docker makes an empty directory, and the module runs as if all were well")
            .fix(Fix::advice(format!(
                "mount the share at `{}` of the host, or put up with this until the first file is written",
                mount.source
            )))
    })
}

fn missing(id: &str, share: &Share<'_>) -> Finding {
    let message =
        format!("share `{}` is declared for `{id}`, and nothing is mounted at `{}`", share.name, share.target);
    finding(Severity::Silent, share, message)
        .because("the container is from another deployment; what the module writes there is lost with it")
        .fix(Fix::advice("change the module in the deployment, so that its container is made anew"))
}

fn replaced(finding: Finding) -> Finding {
    finding.because(LOST).fix(Fix::advice(
        "make the share with \"Use the share with Edge compute\", or mount it on the host, and start the module anew",
    ))
}

fn finding(severity: Severity, share: &Share<'_>, message: String) -> Finding {
    let finding = Finding::new(severity, message);
    match share.at {
        Some(at) => finding.at(at, format!("declared at `{}`", share.target)),
        None => finding,
    }
}

fn unanswering(volume: &Volume) -> bool {
    matches!(&volume.space, Observed::Unknown(why) if why.expected)
}

fn is_at(target: &str, path: &str) -> bool {
    target.trim_end_matches('/') == path.trim_end_matches('/')
}
