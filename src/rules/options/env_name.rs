use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::is_env_name;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Environment variable with a name that Kubernetes refuses
    ///
    /// Names may have letters, digits, `-`, `_` and `.`, and no digit in front. Docker accepts anything. Kubernetes
    /// refuses a module with another name, and the agent then stops in the middle of the deployment. (Names that have
    /// only a `:` too much are ENV-001.)
    ///
    /// For edgeAgent the finding warns: it takes over its own environment only with its next image (inferred, see ENV-001).
    ///
    /// `Upstream protocol`, as a page of the device's own documentation spells it, is PRX-005.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["Detection threshold=0.5"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["Detection_threshold=0.5"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the program must look for the new name: it offers `_` for each character that is not allowed.
    id: "options-env-name",
    codes: &["ENV-002"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-VAL envVarNameFmt; tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.env(), |var| {
        let name = var.name;
        // An entry of `Env` that starts with `=` sets nothing: ENV-003. A misspelt `UpstreamProtocol` is PRX-005.
        let nameless = name.is_empty() && var.is_in_options();
        let known = nameless || var.is_misspelt_upstream_protocol();
        if is_env_name(&name.replace(':', "__")) || has_placeholder(name) || known {
            return None;
        }
        let label = match name.chars().next() {
            None => "empty".to_owned(),
            Some(first) if first.is_ascii_digit() => "starts with a digit".to_owned(),
            Some(_) => {
                let odd = name.chars().find(|c| !is_env_name(&format!("_{c}")));
                odd.map_or_else(|| "not allowed".to_owned(), |odd| format!("contains `{odd}`"))
            }
        };
        let allowed = allowed(name);
        let fix = var.renamed(Fix::ask(format!("rename it to `{allowed}`, here and in the program")), &allowed);
        let (severity, reason) = super::env_colon::refusal(module);
        let finding = Finding::new(severity, format!("the name `{name}` is not allowed on Kubernetes"));
        Some(finding.at(var.name_span(), label).because(reason).fix(fix))
    })
}

/// The nearest name that is allowed.
fn allowed(name: &str) -> String {
    let replaced: String = name.chars().map(|c| if is_env_name(&format!("_{c}")) { c } else { '_' }).collect();
    if is_env_name(&replaced) { replaced } else { format!("_{replaced}") }
}
