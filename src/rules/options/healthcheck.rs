use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Health check that nobody makes
    ///
    /// `Healthcheck` is dropped, and `k8s-experimental` has no probe to put in its place. On Docker the health check is
    /// the documented way to have an unhealthy module restarted; on Kubernetes the module keeps running for as long as
    /// its process does, however ill it is.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "ExposedPorts": { "8000/tcp": {} }, "Healthcheck": { "Test": ["CMD", "curl", "-f", "http://localhost:8000/healthz"] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A program that ends when it is ill, so that Kubernetes starts it again. A check that is switched off is fine:
    ///
    /// ```json,passes
    /// { "ExposedPorts": { "8000/tcp": {} }, "Healthcheck": { "Test": ["NONE"] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: the program itself must look after its health.
    id: "options-healthcheck",
    codes: &["OPT-006"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, class CreatePodParameters; IE-LIM",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["Healthcheck"]), |check| {
        let test = check.get_ignoring_case("Test").filter(|test| is_given(*test))?;
        let off = test.items().next().and_then(At::as_str) == Some("NONE");
        (!off).then(|| {
            Finding::new(Severity::Silent, "`Healthcheck` has no effect on Kubernetes")
                .at(check.key_span(), "not translated")
                .because("nobody asks the module how it is, and it is not restarted when it hangs")
                .fix(Fix::advice("let the program end when it is ill: Kubernetes starts it again"))
        })
    })
}
