use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::is_env_name;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Entry of `Env` that sets nothing
    ///
    /// An entry without `=`, or with nothing before it, is dropped without a word. On Docker an entry that is only a name
    /// unsets the variable of the image; on Kubernetes the image's own value stays. More often `:` was written for `=`.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["CRATE_URL:http://cratedb:4200/_sql"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["CRATE_URL=http://cratedb:4200/_sql", "DEBUG="] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: where a name and a `:` come first, it offers `=` instead. Otherwise only you know the value.
    id: "options-env-without-value",
    codes: &["ENV-003"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs`, ParseEnv",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["Env"]).into_iter().flat_map(At::items), |entry| {
        let text = entry.as_str()?;
        let sets = text.find('=').is_some_and(|at| at > 0);
        if sets || text.is_empty() || has_placeholder(text) {
            return None;
        }
        let reason = "the agent drops the entry without a word";
        if text.starts_with('=') {
            let finding = Finding::new(Severity::Silent, "an entry of `Env` has no name");
            let fix = Fix::ask("remove the entry").remove(entry.path());
            return Some(finding.at(entry.part(0..1), "nothing before it").because(reason).fix(fix));
        }
        // Not the whole text: behind a colon there is a value.
        let length = text.find(|c: char| !is_env_name(&format!("_{c}"))).unwrap_or(text.len());
        let name = &text[..length];
        let message = format!("the entry `{name}` of `Env` has no `=`");
        let finding = Finding::new(Severity::Silent, message).at(entry.part(0..length), "sets nothing").because(reason);
        Some(finding.fix(match text[length..].strip_prefix(':') {
            Some(_) if is_env_name(name) => {
                Fix::ask("write `=` for the first `:`").replace(entry.path(), length..length + 1, "=")
            }
            _ => Fix::advice(format!("write `{name}=` and a value, or remove the entry")),
        }))
    })
}
