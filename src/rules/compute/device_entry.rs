use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Device, Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Device that Docker does not find
    ///
    /// Real manifests name devices with slips that nobody sees: a blank at the end of the path, or no `/` in front of
    /// it. Docker takes a path as it is written. With a blank it finds no such device and does not start the module;
    /// without the `/` it looks below the directory that it was started in. Without `CgroupPermissions` Docker 20.10
    /// with runc 1.1 does not start the module either; others were not tried.
    ///
    /// For a module with `Privileged` Docker passes over an entry whose two paths are the same, so such entries are
    /// not reported. On Kubernetes no device is handed over at all (GPU-014).
    ///
    /// ## Example
    ///
    /// With `--target ase-vm`:
    ///
    /// ```json,fails
    /// { "HostConfig": { "Devices": [
    ///     { "PathOnHost": "/dev/video0 ", "PathInContainer": "/dev/video0", "CgroupPermissions": "rwm" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Devices": [
    ///     { "PathOnHost": "/dev/video0", "PathInContainer": "/dev/video0", "CgroupPermissions": "rwm" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the module had to do without the device so far: the path without blanks, with its `/`; `rwm`, which
    /// is what Docker's own command line gives.
    id: "compute-device-entry",
    codes: &["COR-25"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseVm],
    seed: &[],
    source: "`corpus.md`, quirk 25; `no such file or directory` and `device access … cannot be empty`, observed on Docker 20.10",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.devices(), |device| {
        let path = device.path.as_str().filter(|path| !has_placeholder(path))?;
        let text = |key| device.at.get_ignoring_case(key).and_then(At::as_str);
        // FPGAs are rule GPU-019's.
        if device.name().starts_with("catapult") || module.is_privileged() && text("PathInContainer") == Some(path) {
            return None;
        }
        let right = format!("/{}", path.trim().trim_start_matches('/'));
        if right != path {
            return Some(misspelt(&device, path, &right));
        }
        let allowed = module.is_privileged() || text("CgroupPermissions").is_some_and(|text| !text.trim().is_empty());
        (!allowed).then(|| {
            let path = device.at.path().key("CgroupPermissions");
            Finding::new(Severity::Warn, format!("`{right}` is given without `CgroupPermissions`"))
                .at(device.path_span(), "for reading, for writing?")
                .because("Docker 20.10 does not start a module with such a device")
                .fix(Fix::ask("give all three, `rwm`").set(path, "rwm"))
        })
    })
}

fn misspelt(device: &Device<'_>, path: &str, right: &str) -> Finding {
    let (severity, label, reason) = if path.trim() == path {
        let reason = "Docker looks for it below the directory that it was started in; where that is not `/`, the module does not start";
        (Severity::Warn, "does not begin with one `/`", reason)
    } else {
        (Severity::Block, "has a blank at an end", "Docker finds no such device and does not start the module")
    };
    Finding::new(severity, format!("the device `{path}` is called `{right}`"))
        .at(device.path_span(), label)
        .because(reason)
        .fix(Fix::ask(format!("write `{right}`")).set(device.path.path(), right))
}
