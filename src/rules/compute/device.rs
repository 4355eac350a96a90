use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::Span;

/// Devices that have rules of their own: FPGA and GPU.
const ACCELERATORS: [&str; 2] = ["catapult", "nvidia"];

rule! {
    /// # Device of the host
    ///
    /// `Devices` and `DeviceCgroupRules` are not translated to Kubernetes. The module starts, and doesn't find its
    /// camera, serial port or sound card.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Devices": [{ "PathOnHost": "/dev/video0", "PathInContainer": "/dev/video0" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A resource of a device plugin, if the cluster has one for this kind of device.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Devices": [] },
    ///   "k8s-experimental": { "resources": { "limits": { "hardware-vendor.example/camera": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. As a last resort a module with `Privileged` sees every device of its node, under the names that they
    /// have there; for such a module the finding only warns, because whether this device is there can't be told from
    /// the manifest. FPGAs (GPU-019) and GPUs (GPU-013) have rules of their own.
    id: "compute-device",
    codes: &["GPU-014"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "agent `HostConfig.cs` and `KubernetesDeploymentMapper.cs`; K8S-BP resources",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let devices = module.option(&["HostConfig", "Devices"]);
    let rules = module.option(&["HostConfig", "DeviceCgroupRules"]);
    if devices.or(rules).is_none() {
        return Verdict::NotApplicable;
    }
    let named = module.devices().into_iter();
    let named = named.filter(|device| !ACCELERATORS.iter().any(|name| device.name().starts_with(name)));
    let named = named.map(|device| (device.path_span(), format!("`{}`", device.path.as_str().unwrap_or_default())));
    let rules = rules.filter(|rules| rules.items().len() > 0);
    let rules = rules.map(|rules| (rules.key_span(), "what `DeviceCgroupRules` allows".to_owned()));
    let places: Vec<(Span, String)> = named.chain(rules).collect();
    Verdict::from(finding(module, &places))
}

fn finding(module: Module<'_>, places: &[(Span, String)]) -> Option<Finding> {
    let [(span, name), others @ ..] = places else { return None };
    let what = match others.len() {
        0 => format!("{name} is not handed to the module"),
        n => format!("{name} and {n} more are not handed to the module"),
    };
    let finding = if module.is_privileged() {
        let which = if others.is_empty() { "this one is" } else { "these are" };
        Finding::new(Severity::Warn, what)
            .because(format!("the module is privileged and sees the devices of its node, if {which} among them"))
            .fix(Fix::advice("see whether the node has the device, under the name that the module looks for"))
    } else {
        let reason = if others.is_empty() { "the module starts without it" } else { "the module starts without them" };
        Finding::new(Severity::Block, what)
            .because(reason)
            .fix(Fix::advice("ask for a resource of a device plugin or, as the last resort, set `Privileged`"))
    };
    let finding = finding.at(*span, "not translated to Kubernetes");
    Some(others.iter().fold(finding, |finding, (span, _)| finding.related(*span, "nor is this")))
}
