use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Module};
use crate::target::Platform;
use crate::text::{At, Path, Span};

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
    let ways = ways(module);
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

/// One of Docker's ways to a GPU.
struct Way {
    span: Span,
    path: Path,
    count: Count,
}

/// How many GPUs a [`Way`] asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    Unsaid,
    Some(i64),
    All,
}

fn ways(module: Module<'_>) -> Vec<Way> {
    let runtime = module.option(&["HostConfig", "Runtime"]);
    let runtime = runtime.filter(|at| at.as_str().is_some_and(|name| name.eq_ignore_ascii_case("nvidia")));
    let runtime = runtime.map(|at| Way { span: at.member_span(), path: at.path(), count: Count::Unsaid });
    let requests = module.option(&["HostConfig", "DeviceRequests"]);
    let requests = requests.into_iter().flat_map(At::items).filter(|request| is_for_gpu(*request));
    let requests = requests.map(|at| Way { span: at.span(), path: at.path(), count: count(at) });
    let devices = module.devices().into_iter().filter(|device| device.name().starts_with("nvidia"));
    let devices = devices.map(|at| Way { span: at.path_span(), path: at.at.path(), count: Count::Unsaid });
    runtime.into_iter().chain(requests).chain(devices).collect()
}

fn is_for_gpu(request: At<'_>) -> bool {
    let driver = request.get_ignoring_case("Driver").and_then(At::as_str);
    let capabilities = request.get_ignoring_case("Capabilities").into_iter().flat_map(At::items).flat_map(At::items);
    driver == Some("nvidia") || capabilities.filter_map(At::as_str).any(|name| name == "gpu")
}

/// By number or by names; -1 is all of them.
fn count(request: At<'_>) -> Count {
    let named = request.get_ignoring_case("DeviceIDs").map_or(0, |ids| ids.items().len());
    match request.get_ignoring_case("Count").and_then(At::as_i64) {
        _ if named > 0 => Count::Some(i64::try_from(named).unwrap_or(1)),
        Some(n) if n > 0 => Count::Some(n),
        Some(-1) => Count::All,
        _ => Count::Unsaid,
    }
}

fn request(module: Module<'_>, ways: &[Way], available: Option<u32>) -> Fix {
    let rivals = module.manifest().modules().filter(|other| other.id() != module.id() && wants_gpu(*other)).count();
    let (number, known) = match ways.iter().map(|way| way.count).max() {
        Some(Count::Some(n)) => (n, true),
        Some(Count::All) => (available.map_or(1, |n| n.max(1).into()), available.is_some()),
        Some(Count::Unsaid) | None => (1, true),
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

fn wants_gpu(module: Module<'_>) -> bool {
    module.limit(GPU).is_some() || !ways(module).is_empty()
}
