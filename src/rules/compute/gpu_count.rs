use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Manifest, Module};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # More GPUs than the site has
    ///
    /// A GPU that is asked for as a resource belongs to one module alone. The device has one or two, and some may be
    /// taken by virtual machines. Modules beyond that number stay Pending; IoT Hub shows them as `failed` with an empty
    /// reason, and which ones it hits is chance.
    ///
    /// Needs the number of GPUs that Kubernetes may use: `--site gpus=1`. Virtual machines with a GPU take theirs away: where one
    /// has the only GPU, Kubernetes has none. (While such a machine is stopped, Kubernetes may take its GPU in turn.)
    ///
    /// ## Example
    ///
    /// With one GPU:
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "detector": { "settings": { "image": "d:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } },
    ///   "scorer": { "settings": { "image": "s:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Share the GPU: `NVIDIA_VISIBLE_DEVICES` gives every module that has it the GPU of that number, for a time each
    /// in turn, and reserves nothing.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "detector": { "settings": { "image": "d:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } },
    ///   "trainer": { "status": "stopped", "settings": { "image": "t:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } } } } } } } } }
    /// ```
    ///
    /// Modules that are to be stopped hold none.
    ///
    /// ## Fix
    ///
    /// Words only: which module gives up its GPU is for you to say.
    id: "compute-gpu-count",
    codes: &["GPU-004", "GPU-016"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Gpus, Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "seed; K8S-BP depstrat; ASE-SHARE; ASE-GPUVM; ASE-RN2101 #9; unschedulable pod observed on Kubernetes 1.20",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, context: &Context<'_>) -> Verdict {
    let Some(available) = context.site.gpus.map(i64::from) else { return Verdict::NotApplicable };
    let holders: Vec<Holder<'_>> = manifest.modules().filter_map(Holder::read).collect();
    if holders.is_empty() {
        return Verdict::NotApplicable;
    }
    let mut sum = 0;
    let Some(beyond) = holders.iter().position(|holder| {
        sum += holder.count;
        sum > available
    }) else {
        return Verdict::Judged(Vec::new());
    };
    let (last, total) = (&holders[beyond], holders.iter().map(|holder| holder.count).sum::<i64>());
    let finding = Finding::new(Severity::Block, format!("the modules ask for {total} GPUs, the site has {available}"))
        .at(last.at.span(), format!("with `{}` it is {sum}", last.module.id()))
        .because("the modules that come too late stay Pending; IoT Hub shows them as `failed` without a reason")
        .fix(Fix::advice(if available == 0 {
            "free a GPU that a virtual machine has, or do without"
        } else {
            "ask for fewer, or share a GPU by `NVIDIA_VISIBLE_DEVICES` in place of the resource"
        }));
    let others = holders.iter().enumerate().filter(|(index, _)| *index != beyond).map(|(_, holder)| holder);
    Verdict::Judged(vec![others.fold(finding, |finding, holder| {
        finding.related(holder.at.span(), format!("`{}` asks for {}", holder.module.id(), holder.count))
    })])
}

/// A module that holds GPUs while it runs.
struct Holder<'m> {
    module: Module<'m>,
    at: At<'m>,
    count: i64,
}

impl<'m> Holder<'m> {
    fn read(module: Module<'m>) -> Option<Self> {
        let at = module.limit(GPU).filter(|_| !module.is_stopped())?;
        let count = at.as_i64().filter(|count| *count > 0)?;
        Some(Self { module, at, count })
    }
}
