use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Bind without a target
    ///
    /// An entry of `Binds` says what is mounted and where, with a colon between. The agent drops one without a colon,
    /// and no log that you can reach says so: the module runs, and what it writes at that path is lost at its next
    /// restart. With a colon and nothing behind it Kubernetes refuses the module, which also keeps the claims of
    /// **all** modules from being made.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Binds": ["/var/lib/scorer"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Binds": ["/var/lib/scorer:/var/lib/scorer"] } }
    /// ```
    ///
    /// (Other rules have more to say about this directory.)
    ///
    /// ## Fix
    ///
    /// Words only: one path may be meant as source, as target, or as both.
    id: "storage-bind-target",
    codes: &["STO-025"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["storage.no-binds"],
    source: "agent `KubernetesDeploymentMapper.cs` (fewer than two parts are dropped); Kubernetes `validation.go`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.binds(), |bind| {
        // A placeholder may stand for a whole entry: rule STO-002 says so.
        let text = bind.at.as_str().filter(|_| bind.target.is_empty() && !bind.is_hidden())?;
        let finding = if text.contains(':') {
            Finding::new(Severity::Block, format!("the bind `{text}` has no path after its colon"))
                .because("Kubernetes refuses the module, and no module gets its claims")
        } else {
            Finding::new(Severity::Silent, format!("the bind `{text}` has no target"))
                .because("the agent drops it: the module runs without this directory, and keeps nothing there")
        };
        let way_out = "write what is mounted and where, `source:target`; for a share use `Mounts` of type `volume`";
        Some(finding.at(bind.at.part(0..text.len()), "where in the module?").fix(Fix::advice(way_out)))
    })
}
