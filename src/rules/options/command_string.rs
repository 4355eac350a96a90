use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, holds_secret};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Command in the wrong shape
    ///
    /// Docker takes `Entrypoint` and `Cmd` as a list of strings or as one string. The agent on Kubernetes reads a list, and
    /// only that: over a string it stumbles, and the deployment fails for all modules. `WorkingDir` on the other hand
    /// must be a string.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Cmd": "scorer" }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Cmd": ["scorer"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the string becomes the only element of a list. That is how Docker's interface reads it too: it does not split
    /// at blanks. If you meant several words, write each as an element.
    id: "options-command-string",
    codes: &["OPT-002"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["options.entrypoint"],
    source: "agent `CombinedKubernetesConfigProvider.cs`, GetPropertiesStringArray and its tests",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let options = ["Entrypoint", "Cmd", "WorkingDir"].into_iter().filter_map(|key| module.option(&[key]));
    // `null` counts as absent.
    Verdict::each(options.filter(|at| at.kind() != Kind::Null), |at| {
        let key = at.key().unwrap_or_default();
        let (wanted, fits) = if key.eq_ignore_ascii_case("WorkingDir") {
            ("a string", at.kind() == Kind::String)
        } else {
            ("a list of strings", at.kind() == Kind::Array)
        };
        (!fits).then(|| {
            Finding::new(Severity::Block, format!("`{key}` is not {wanted}"))
                .at(at.span(), format!("expected {wanted}"))
                .because("the agent stumbles over it, and the deployment fails for all modules")
                .fix(reshaped(at, key, wanted))
        })
    })
}

fn reshaped(at: At<'_>, key: &str, wanted: &str) -> Fix {
    match at.as_str() {
        Some("") => Fix::ask(format!("remove the empty `{key}`")).remove(at.path()),
        // An edit would show it.
        Some(_) if holds_secret(at) => Fix::advice("make it a list of one string"),
        Some(text) => Fix::safe("make it a list of one string").set(at.path(), json!([text])),
        None => Fix::advice(format!("write `{key}` as {wanted}")),
    }
}
