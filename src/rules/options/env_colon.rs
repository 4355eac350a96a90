use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::is_env_name;
use crate::manifest::{EnvVar, Module};
use crate::target::Platform;

rule! {
    /// # Environment variable with a colon in its name
    ///
    /// .NET programs read nested settings from variables such as `Logging:LogLevel:Default`. Docker accepts that, Kubernetes
    /// refuses it, and the agent then stops in the middle of the deployment. .NET takes `__` for `:`, on both platforms.
    ///
    /// The sources disagree on the replacement: the migration guide and the release notes say `__`, a page of known issues says
    /// one `_`. Only `__` works for .NET.
    ///
    /// For edgeAgent the finding warns. Of its own Deployment the agent compares the images only, so that its environment
    /// comes into force with the next image (`k8s-translation.md` §4; inferred). The catalogue counts it among the modules
    /// all the same.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["Logging:LogLevel:Default=Debug"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["Logging__LogLevel__Default=Debug"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: each `:` of the name becomes `__`. Where a variable of that name is there already, it asks to remove the one
    /// with the colon.
    id: "options-env-colon",
    codes: &["ENV-001"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["options.env-colon"],
    source: "seed, Other options; ASE-RN2101 #5 to ASE-RN2607 #20; K8S-KI (contradiction C6); tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    Verdict::each(&env, |var| {
        let name = var.name.replace(':', "__");
        // What is no name even then is ENV-002's.
        (name != var.name && is_env_name(&name))
            .then(|| finding(module, var, &name, env.iter().find(|other| other.name == name)))
    })
}

/// How bad it is that Kubernetes refuses a variable of `module`, and why.
pub(super) fn refusal(module: Module<'_>) -> (Severity, &'static str) {
    if module.is_system() && module.id() == "edgeAgent" {
        (Severity::Warn, "the agent takes over its own environment only with its next image, and is refused then")
    } else {
        (Severity::Block, "Kubernetes refuses the module, and the agent stops before it has made what comes after it")
    }
}

fn finding(module: Module<'_>, var: &EnvVar<'_>, name: &str, there: Option<&EnvVar<'_>>) -> Finding {
    let (severity, reason) = refusal(module);
    let finding = Finding::new(severity, format!("the name `{}` is not allowed on Kubernetes", var.name))
        .at(var.name_span(), "contains `:`")
        .because(reason);
    match there {
        Some(there) => finding
            .related(there.name_span(), "the same setting, in the spelling that is allowed")
            .fix(Fix::ask(format!("remove `{}`", var.name)).remove(var.path())),
        None => finding.fix(var.renamed(Fix::safe(format!("rename it to `{name}`")), name)),
    }
}
