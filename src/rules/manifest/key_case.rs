use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, home};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Key in unusual case
    ///
    /// `runtime` or `hostconfig` work like `Runtime` and `HostConfig`: Docker and the agent compare keys without regard to
    /// case. Other tools, and people who search, do not. `k8s-experimental` is the exception: it must be spelled exactly so.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "privileged": true } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Privileged": true } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the key is spelled as Docker spells it.
    id: "manifest-key-case",
    codes: &["COR-18"],
    severity: Severity::Info,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 18; `k8s-translation.md` §1 and §2",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let Some(root) = module.options().root().map(|id| module.manifest().document().at(id)) else {
        return Verdict::NotApplicable;
    };
    let inner = module.option(&["HostConfig"]).into_iter().flat_map(At::members);
    Verdict::each(root.members().chain(inner), |member| {
        let key = member.key()?;
        if key.eq_ignore_ascii_case("k8s-experimental") && key != "k8s-experimental" {
            let finding = Finding::new(Severity::Silent, format!("`{key}` is not `k8s-experimental`"))
                .at(member.key_span(), "not read")
                .because("the agent looks for exactly this spelling and passes over everything else");
            let fix = Fix::safe("spell it `k8s-experimental`").rename(member.path(), "k8s-experimental");
            return Some(finding.fix(fix));
        }
        let (known, _) = home(key).filter(|(known, _)| *known != key)?;
        Some(
            Finding::new(Severity::Info, format!("`{key}` is read as `{known}`"))
                .at(member.key_span(), format!("`{known}` for everybody else"))
                .because("Docker and the agent compare keys without regard to case, other tools do not")
                .fix(Fix::safe(format!("spell it `{known}`")).rename(member.path(), known)),
        )
    })
}
