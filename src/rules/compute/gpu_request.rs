use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # GPU request that differs from its limit
    ///
    /// A GPU can't be lent out twice, so Kubernetes wants a limit for it, and a request that equals the limit or none
    /// at all. Otherwise it refuses the module's Deployment, which also keeps the claims of **all** modules from being
    /// made.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "resources": { "requests": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The limit alone; the request follows it.
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the request is removed. Where there is no limit, it becomes the limit.
    id: "compute-gpu-request",
    codes: &["GPU-017"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "Kubernetes `validation.go`; both refusals observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let Some(request) = module.request(GPU) else { return Verdict::NotApplicable };
    let asked = request.as_text().unwrap_or_default();
    if has_placeholder(asked) {
        return Verdict::Judged(Vec::new());
    }
    let refused = "Kubernetes refuses the module, and no module gets its claims";
    let Some(limit) = module.limit(GPU) else {
        let value = request.as_i64().map_or(asked.into(), serde_json::Value::from);
        let finding = Finding::new(Severity::Block, "a GPU is requested without a limit")
            .at(request.key_span(), "needs a limit, and follows it")
            .because(refused)
            .fix(
                Fix::safe("make the request the limit")
                    .set(module.option_path(&["k8s-experimental", "resources", "limits", GPU]), value)
                    .remove(request.path()),
            );
        return Verdict::Judged(vec![finding]);
    };
    let allowed = limit.as_text().unwrap_or_default();
    Verdict::from((!has_placeholder(allowed) && !equal(request, limit)).then(|| {
        Finding::new(Severity::Block, format!("the request for GPUs is {asked}, the limit {allowed}"))
            .at(request.span(), "must equal the limit")
            .related(limit.span(), "the limit")
            .because(refused)
            .fix(Fix::safe("remove the request, which follows the limit").remove(request.path()))
    }))
}

/// Whether two amounts are the same: `2` and `"2"` are.
fn equal(a: At<'_>, b: At<'_>) -> bool {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a == b,
        _ => a.as_text() == b.as_text(),
    }
}
