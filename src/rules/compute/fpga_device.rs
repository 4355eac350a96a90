use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Device, FPGA, GPU, Module, docker_gpu_request};
use crate::target::Platform;

rule! {
    /// # FPGA asked for as a device
    ///
    /// Modules of the FPGA device reach the FPGA by the device nodes `/dev/catapult0` and `/dev/catapult1`. The GPU
    /// device has none: on Kubernetes `Devices` is dropped and the module starts without its accelerator, on Docker in
    /// a VM it does not start.
    ///
    /// The migration guide shows the FPGA as a Kubernetes resource instead (GPU-001); real manifests have this form.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Devices": [
    ///     { "PathOnHost": "/dev/catapult0", "PathInContainer": "/dev/catapult0" },
    ///     { "PathOnHost": "/dev/catapult1", "PathInContainer": "/dev/catapult1" }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Devices": [{ "PathOnHost": "/dev/video0", "PathInContainer": "/dev/video0" }] },
    ///   "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the model itself must be made anew for the GPU: the devices are removed and as many GPUs asked
    /// for, but not more than the site has (`--site gpus=1`); on Kubernetes as a resource, in an Ubuntu VM by
    /// `DeviceRequests`, which is Docker's way.
    id: "compute-fpga-device",
    codes: &["GPU-019"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["compute.gpu-spec"],
    source: "real FPGA manifests (`corpus.md`); contradiction C9",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let devices = module.devices();
    if devices.is_empty() {
        return Verdict::NotApplicable;
    }
    let fpgas: Vec<Device<'_>> = devices.into_iter().filter(|device| device.name().starts_with("catapult")).collect();
    let [first, others @ ..] = fpgas.as_slice() else { return Verdict::Judged(Vec::new()) };
    let finding = Finding::new(Severity::Block, "the GPU device has no FPGA")
        .at(first.path_span(), "no such device there")
        .because("the module has no accelerator, and its model was made for this one");
    let finding = others.iter().fold(finding, |finding, device| finding.related(device.path_span(), "nor this"));
    Verdict::Judged(vec![finding.fix(gpus(module, &fpgas, context))])
}

/// GPUs in place of FPGAs: not more than there are, and none where GPUs are asked for already, or will be by the fix
/// of the FPGA resource (GPU-001).
fn gpus(module: Module<'_>, fpgas: &[Device<'_>], context: &Context<'_>) -> Fix {
    let asked = i64::try_from(fpgas.len()).unwrap_or(1);
    let count = context.site.gpus.map_or(asked, |available| asked.min(available.into()));
    let docker = context.target.platform.has_docker();
    let has_gpu = if docker { !module.docker_gpus().is_empty() } else { module.limit(GPU).is_some() };
    let settled = has_gpu || module.limit(FPGA).is_some();
    let title = match count {
        _ if settled => "remove the FPGA, once the model is made for the GPU".to_owned(),
        0 => "remove the FPGA, and run the model on the processor".to_owned(),
        1 => "ask for 1 GPU instead, once the model is made for it".to_owned(),
        n => format!("ask for {n} GPUs instead, once the model is made for them"),
    };
    let fix = fpgas.iter().fold(Fix::ask(title), |fix, device| fix.remove(device.at.path()));
    if settled || count == 0 {
        return fix;
    }
    ask_for(fix, module, count, docker)
}

/// Adds to `fix` that the module asks for `count` GPUs: Kubernetes by its resource, Docker by `DeviceRequests`
/// (`ase-runtime.md` §3).
pub(super) fn ask_for(fix: Fix, module: Module<'_>, count: i64, docker: bool) -> Fix {
    if docker {
        fix.append(module.option_path(&["HostConfig", "DeviceRequests"]), docker_gpu_request(count))
    } else {
        fix.set(module.option_path(&["k8s-experimental", "resources", "limits", GPU]), count)
    }
}
