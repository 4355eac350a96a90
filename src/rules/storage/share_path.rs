use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Bind, HostMount, HostPath, Module};
use crate::target::Platform;
use crate::text::Span;

rule! {
    /// # Share bound by its host path, in a virtual machine
    ///
    /// On the FPGA device a share is mounted on the host at `/home/hcsshares/<share>`, and modules bind that path. In an
    /// Ubuntu VM on the GPU device nothing is mounted there: Docker makes an **empty directory** and the module runs,
    /// looking healthy. The owner of the VM mounts the shares, over SMB or NFS, and decides where.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/home/hcsshares/input:/home/input"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The path at which the VM mounts the share.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Binds": ["/mnt/input:/home/input"] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// A path that begins with a placeholder, or a placeholder for a whole entry, may be such a share: the finding then
    /// warns.
    ///
    /// Safe where `--site share_paths=input:/mnt/input` says where the VM mounts the share; else only its owner knows. A
    /// `volume` mount, which is right on Kubernetes, would give the module an empty Docker volume here.
    id: "storage-share-path",
    codes: &["STO-001"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseVm],
    seed: &[],
    source: "ASE-FPGA sample; ASE-VM; shares in the VM are mounted by its owner (`ase-runtime.md` §3)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let hidden = module.binds().into_iter().filter(Bind::is_hidden).map(HostMount::Bind);
    Verdict::each(module.host_mounts().into_iter().chain(hidden), |mount| {
        let (name, below) = match mount.host_path() {
            _ if matches!(mount, HostMount::Bind(bind) if bind.is_hidden()) => {
                let message = "a bind that cannot be judged before it is filled in";
                return Some(unclear(message, mount.source_span(), "stands for source and target"));
            }
            HostPath::Share { name, below } => (name, below),
            HostPath::Placeholder => {
                let message = format!("`{}` is bound, and may be a share", mount.source());
                return Some(unclear(
                    message,
                    mount.source_span(),
                    "stands for a share or for a directory of the host",
                ));
            }
            _ => return None,
        };
        let what = if name.is_empty() { "the folder of all shares".to_owned() } else { format!("share `{name}`") };
        let finding = Finding::new(Severity::Silent, format!("{what} is bound by its path on the FPGA device"))
            .at(mount.source_span(), "nothing is mounted here in the VM")
            .because("Docker makes an empty directory, and the module runs as if all were well");
        let mounted = context.site.share_paths.as_ref().and_then(|paths| paths.get(name));
        Some(finding.fix(match (mounted, name) {
            (Some(path), _) => {
                let path =
                    if below.is_empty() { path.clone() } else { format!("{}/{below}", path.trim_end_matches('/')) };
                mount.rebound(Fix::safe(format!("bind `{path}`, where the VM has the share")), &path)
            }
            (None, "") => Fix::advice("mount each share that the module uses in the VM and bind the paths there"),
            (None, name) => {
                Fix::advice(format!("mount the share `{name}` in the VM and bind the path where it is mounted"))
            }
        }))
    })
}

/// A bind that may be a share's path, once a tool has filled it in.
fn unclear(message: impl Into<String>, at: Span, label: &str) -> Finding {
    Finding::new(Severity::Warn, message)
        .at(at, label)
        .because("if it is a share by its path on the FPGA device, the module gets an empty directory instead")
        .fix(Fix::advice("write it out, or check the deployment that is made of this template"))
}
