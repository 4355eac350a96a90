use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{FPGA, GPU, Module};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # FPGA asked for as a resource
    ///
    /// `microsoft.com/fpga_catapult` is a resource of the FPGA device. No node of the GPU device has it, so Kubernetes
    /// never schedules the pod. IoT Hub shows the module as `failed` with an empty reason, which looks like a crash.
    ///
    /// The sources give two forms: the migration guide shows this resource, real manifests of the FPGA device ask for
    /// the FPGA by `Devices` (GPU-019). Both are looked for.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "resources": {
    ///     "limits": { "microsoft.com/fpga_catapult": 2 },
    ///     "requests": { "microsoft.com/fpga_catapult": 2 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 2 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the model itself must be made anew for the GPU: as many GPUs take the place of the FPGAs, but not
    /// more than the site has (`--site gpus=1`). Docker in an Ubuntu VM passes over this section: the module starts there,
    /// without its accelerator (silent), and the GPUs are asked for by `DeviceRequests`.
    id: "compute-fpga-resource",
    codes: &["GPU-001"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["compute.fpga-spec", "compute.gpu-spec"],
    source: "seed, Compute acceleration; unschedulable pod observed on Kubernetes 1.20; contradiction C9",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    if module.option(&["k8s-experimental", "resources"]).is_none() {
        return Verdict::NotApplicable;
    }
    let places: Vec<At<'_>> = [module.limit(FPGA), module.request(FPGA)].into_iter().flatten().collect();
    let [first, others @ ..] = places.as_slice() else { return Verdict::Judged(Vec::new()) };
    let finding = if context.target.platform.has_docker() {
        Finding::new(Severity::Silent, "the GPU device has no FPGA")
            .at(first.key_span(), "not read by Docker")
            .because("the module starts without its accelerator, and its model was made for this one")
    } else {
        Finding::new(Severity::Block, "the GPU device has no FPGA")
            .at(first.key_span(), "no node has this resource")
            .because("Kubernetes never schedules the module; IoT Hub shows it as `failed` without a reason")
    };
    let finding = others.iter().fold(finding, |finding, at| finding.related(at.key_span(), "and here"));
    Verdict::Judged(vec![finding.fix(gpus(module, &places, context))])
}

/// GPUs in place of FPGAs: not more than there are, and none where GPUs are asked for already.
fn gpus(module: Module<'_>, places: &[At<'_>], context: &Context<'_>) -> Fix {
    let docker = context.target.platform.has_docker();
    let settled = if docker { !module.docker_gpus().is_empty() } else { module.limit(GPU).is_some() };
    let asked = places.iter().filter_map(|at| at.as_i64()).max().unwrap_or(1).max(1);
    let count = context.site.gpus.map_or(asked, |available| asked.min(available.into()));
    let title = match count {
        0 => "remove the FPGA, and run the model on the processor".to_owned(),
        _ if settled => "remove the FPGA, once the model is made for the GPU".to_owned(),
        1 => "ask for 1 GPU, once the model is made for it".to_owned(),
        n => format!("ask for {n} GPUs, once the model is made for them"),
    };
    let fix = places.iter().fold(Fix::ask(title), |fix, at| fix.remove(at.path()));
    if count == 0 || settled {
        return fix;
    }
    super::fpga_device::ask_for(fix, module, count, docker)
}
