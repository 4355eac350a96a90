use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, GpuCount, GpuRequest, Module};
use crate::target::Platform;

rule! {
    /// # GPU asked for as Docker does
    ///
    /// `Runtime: nvidia`, `DeviceRequests` and devices `/dev/nvidia*` are Docker's ways to a GPU. The agent on
    /// Kubernetes translates none of them. The module starts all the same, without a GPU or on whatever the node's
    /// default runtime lends it, and computes on the processor or fails at its first call to CUDA.
    ///
    /// In an Ubuntu VM, where IoT Edge runs on Docker, these are still the ways to the GPU of the VM, so the rule is for
    /// Kubernetes only.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Runtime": "nvidia" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A resource, which reserves a whole GPU for the module; or the variable `NVIDIA_VISIBLE_DEVICES`, which shares a
    /// GPU among modules and reserves nothing. With either, this rule is content.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Runtime": "nvidia" },
    ///   "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe while the module is the only one of the deployment that wants a GPU: it gets as many as it asks for, one
    /// where it names no number, and Docker's options go. It asks where other modules want one too, because Kubernetes
    /// gives each GPU to one module only and you may prefer to share; and where it wants all GPUs and their number is
    /// not known (`--site gpus=2`).
    id: "compute-docker-gpu",
    codes: &["GPU-013"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "seed, Compute acceleration; K8S-BP resources; agent `KubernetesDeploymentMapper.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let ways = module.docker_gpus();
    let [first, others @ ..] = ways.as_slice() else { return Verdict::NotApplicable };
    if module.limit(GPU).is_some() || module.env().iter().any(|var| var.name == "NVIDIA_VISIBLE_DEVICES") {
        return Verdict::Judged(Vec::new());
    }
    let finding = Finding::new(Severity::Silent, "the GPU is asked for as Docker does")
        .at(first.span, "not translated to Kubernetes")
        .because("the module starts without a GPU of its own");
    let finding = others.iter().fold(finding, |finding, way| finding.related(way.span, "nor is this"));
    Verdict::Judged(vec![finding.fix(request(module, &ways, context.site.gpus))])
}

fn request(module: Module<'_>, ways: &[GpuRequest], available: Option<u32>) -> Fix {
    let rivals = module.manifest().modules().filter(|other| other.id() != module.id() && other.wants_gpu()).count();
    let (number, known) = match ways.iter().map(|way| way.count).max() {
        Some(GpuCount::Some(n)) => (n, true),
        Some(GpuCount::All) => (available.map_or(1, |n| n.max(1).into()), available.is_some()),
        Some(GpuCount::Unsaid) | None => (1, true),
    };
    let noun = if number == 1 { "GPU" } else { "GPUs" };
    let fix = match rivals {
        0 if known => Fix::safe(format!("ask Kubernetes for {number} {noun}")),
        0 => Fix::ask(format!("ask Kubernetes for all GPUs of the site, {number} at least")),
        _ => Fix::ask(format!(
            "ask Kubernetes for {number} {noun}, or share with the other modules by `NVIDIA_VISIBLE_DEVICES`"
        )),
    };
    let fix = ways.iter().fold(fix, |fix, way| fix.remove(way.path.clone()));
    fix.set(module.option_path(&["k8s-experimental", "resources", "limits", GPU]), number)
}
