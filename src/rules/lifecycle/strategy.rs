use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Strategy that Kubernetes refuses
    ///
    /// A strategy is `Recreate` or `RollingUpdate`, spelled exactly so, and only the second takes settings in
    /// `rollingUpdate`. Anything else makes Kubernetes refuse the module's Deployment, which also keeps the claims of
    /// **all** modules from being made.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "strategy": { "type": "recreate" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "strategy": { "type": "Recreate" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: the type is spelled as it must be, or the settings that don't go with `Recreate` are removed.
    id: "lifecycle-strategy",
    codes: &["STR-003"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["lifecycle.strategy"],
    source: "both refusals observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let strategy = module.option(&["k8s-experimental", "strategy"]);
    Verdict::each(strategy, |strategy| {
        let kind = strategy.get_ignoring_case("type").filter(|at| at.kind() == Kind::String)?;
        let rolling = strategy.get_ignoring_case("rollingUpdate").filter(|at| at.kind() != Kind::Null);
        let finding = match (kind.as_str()?, rolling) {
            ("RollingUpdate", _) | ("Recreate", None) => return None,
            ("Recreate", Some(rolling)) => Finding::new(Severity::Block, "`Recreate` doesn't go with `rollingUpdate`")
                .at(rolling.member_span(), "not beside `Recreate`")
                .related(kind.member_span(), "`Recreate` here")
                .fix(Fix::ask("remove the settings of the rolling update").remove(rolling.path())),
            (text, _) if has_placeholder(text) => return None,
            (text, rolling) => misspelt(strategy, kind, text, rolling),
        };
        Some(finding.because("Kubernetes refuses the module, and no module gets its claims"))
    })
}

fn misspelt(strategy: At<'_>, kind: At<'_>, text: &str, rolling: Option<At<'_>>) -> Finding {
    let finding = Finding::new(Severity::Block, format!("`{text}` is no strategy"))
        .at(kind.span(), "expected Recreate or RollingUpdate");
    let near = ["Recreate", "RollingUpdate"].into_iter().find(|known| known.eq_ignore_ascii_case(text));
    match near {
        Some("Recreate") if rolling.is_some() => finding.fix(
            Fix::ask("write `Recreate`, and remove the settings of the rolling update")
                .set(strategy.path(), json!({ "type": "Recreate" })),
        ),
        Some(near) => finding.fix(Fix::ask(format!("write `{near}`")).set(kind.path(), near)),
        None => finding.fix(Fix::advice("write `Recreate`, or leave the strategy out for a rolling update")),
    }
}
