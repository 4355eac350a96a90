use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module};
use crate::target::Platform;

rule! {
    /// # Variable with two values
    ///
    /// A module's environment is written in two places: `env` of the module and `Env` of its createOptions. Where a
    /// name stands in both, `Env` counts, on Docker and on Kubernetes; where it stands twice in `Env`, the last one.
    /// Who reads only the other place is misled.
    ///
    /// The same value twice is not reported.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["INTERVAL=5", "INTERVAL=60"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["INTERVAL=60"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the one that does not count.
    id: "options-env-twice",
    codes: &["ENV-005"],
    severity: Severity::Info,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs`, CollectModuleEnv; edgelet-docker `runtime.rs`, merge_env; tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    Verdict::each(env.iter().enumerate(), |(index, var)| {
        let counts = env[index + 1..].iter().rfind(|later| later.name == var.name)?;
        (counts.value != var.value).then(|| finding(var, counts))
    })
}

fn finding(var: &EnvVar<'_>, counts: &EnvVar<'_>) -> Finding {
    let place =
        |var: &EnvVar<'_>| if var.is_in_options() { "`Env` of the createOptions" } else { "`env` of the module" };
    let reason = format!("the value in {} is used, on Docker and on Kubernetes alike", place(counts));
    Finding::new(Severity::Info, format!("`{}` is set twice, to different values", var.name))
        .at(var.name_span(), "does not count")
        .related(counts.name_span(), "counts")
        .because(reason)
        .fix(Fix::ask(format!("remove it from {}", place(var))).remove(var.path()))
}
