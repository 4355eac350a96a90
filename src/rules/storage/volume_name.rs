use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::volume;
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Mount that no volume can be named after
    ///
    /// The agent names the volume of a mount after its source: the share, or the path of the host with everything but
    /// letters, digits and hyphens taken out. The result may have 63 characters. A longer one, or none at all, makes
    /// the agent stop: **no** module of the deployment is created or updated, and IoT Hub shows 500 without a name.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Mounts": [{
    ///     "Type": "bind",
    ///     "Source": "/opt/vision/pipelines/production/line-four/cameras/calibration/2021/latest",
    ///     "Target": "/calibration" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Mounts": [{
    ///     "Type": "bind",
    ///     "Source": "/opt/vision/line-four",
    ///     "Target": "/calibration" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: where the data lies is for you to say. The root of the host (`/`) leaves no name either.
    id: "storage-volume-name",
    codes: &["STO-010"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubeUtils.SanitizeDNSLabel` (MaxDnsNameLength)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let volumes = volume::of(module).into_iter().filter(|volume| !volume.is_extension());
    Verdict::each(volumes, |volume| {
        if volume.name.is_some() {
            return None;
        }
        let source = volume.source;
        let (message, label, way_out) = if source.contains(|c: char| c.is_ascii_alphanumeric()) {
            let message = format!("`{source}` is too long to name a volume after");
            (message, "more than 63 letters, digits and hyphens", "mount a directory with a shorter path or name")
        } else {
            let way_out = if source.starts_with('/') {
                "mount the directory that the module needs, not all of the host"
            } else {
                "name a share or a directory"
            };
            (format!("no volume can be named after `{source}`"), "has no letter or digit", way_out)
        };
        Some(
            Finding::new(Severity::Block, message)
                .at(volume.span, label)
                .because("the agent then fails as a whole: no module of the deployment is created or updated")
                .fix(Fix::advice(way_out)),
        )
    })
}
