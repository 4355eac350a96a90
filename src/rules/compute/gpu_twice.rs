use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Module};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # GPU asked for in two ways
    ///
    /// Where a module has a GPU as a resource, the device plugin says which one, and says so in
    /// `NVIDIA_VISIBLE_DEVICES`. A module that sets the variable itself either talks the plugin's choice over, and
    /// computes on a GPU that belongs to another module, or has no effect. Which of them wins on the device is not
    /// known.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["NVIDIA_VISIBLE_DEVICES=0"],
    ///   "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The resource alone, for a GPU of the module's own; the variable alone, for one that is shared.
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks which one to keep; it proposes the resource.
    id: "compute-gpu-twice",
    codes: &["GPU-007"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "NVIDIA/k8s-device-plugin README, device-list-strategy; inferred, as the plugin's version on the device is not known",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.limit(GPU).filter(|limit| limit.as_i64() != Some(0)), |limit: At<'_>| {
        let variables: Vec<_> = module.env().into_iter().filter(|var| var.name == "NVIDIA_VISIBLE_DEVICES").collect();
        let (first, others) = variables.split_first()?;
        let finding = Finding::new(Severity::Warn, "a GPU is asked for by resource and by variable")
            .at(first.name_span(), "the device plugin sets this too")
            .related(limit.member_span(), "the resource")
            .because("the module may compute on a GPU that belongs to another module");
        let finding = others.iter().fold(finding, |finding, var| finding.related(var.name_span(), "and again"));
        let fix = Fix::ask("keep the resource, and leave the choice to Kubernetes");
        Some(finding.fix(variables.iter().fold(fix, |fix, var| fix.remove(var.path()))))
    })
}
