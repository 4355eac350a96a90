use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::is_env_name;
use crate::manifest::{EnvVar, Module, UPSTREAM_PROTOCOL, UpstreamProtocol, has_placeholder};
use crate::target::Platform;

rule! {
    /// # `UpstreamProtocol` misspelt
    ///
    /// The variable is called `UpstreamProtocol` and is one of `Amqp`, `AmqpWs`, `Mqtt` and `MqttWs`, in any case.
    /// Under another name nobody reads it, and another value counts as none: edgeHub and edgeAgent talk AMQP, which the
    /// site may not let out.
    ///
    /// A page of the device's own documentation speaks of "Upstream protocol", with a space; IoT Edge's documentation
    /// and code have one word. With a space Kubernetes refuses the module besides.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["Upstream protocol=AmqpWs"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["UpstreamProtocol=AmqpWs"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe for the name, unless the right one is there as well. For a value it asks, and offers what looks like it.
    id: "proxy-upstream-spelling",
    codes: &["PRX-005"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-TS (contradiction C16); IE-PROD; iotedge `UpstreamProtocol.cs`; names tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    let right = env.iter().find(|var| var.name.eq_ignore_ascii_case(UPSTREAM_PROTOCOL));
    let misspelt = env.iter().filter(|var| var.is_misspelt_upstream_protocol()).map(|var| Some(name(var, right)));
    let value = module.upstream_protocol().map(|var| value(&var));
    Verdict::each(misspelt.chain(right.and(value)), |judged| judged)
}

fn name(var: &EnvVar<'_>, right: Option<&EnvVar<'_>>) -> Finding {
    let (severity, reason) = if is_env_name(var.name) {
        (Severity::Silent, "nobody reads it, and edgeHub and edgeAgent talk AMQP")
    } else {
        (Severity::Block, "nobody reads it, and Kubernetes refuses a module with such a name")
    };
    let finding = Finding::new(severity, format!("the variable `{}` is called `{UPSTREAM_PROTOCOL}`", var.name))
        .at(var.name_span(), "not read")
        .because(reason);
    match right {
        Some(right) => finding
            .related(right.name_span(), "the right name is here")
            .fix(Fix::ask(format!("remove `{}`", var.name)).remove(var.path())),
        None => finding.fix(var.renamed(Fix::safe(format!("rename it to `{UPSTREAM_PROTOCOL}`")), UPSTREAM_PROTOCOL)),
    }
}

fn value(var: &EnvVar<'_>) -> Option<Finding> {
    let text = var.value.trim();
    if UpstreamProtocol::of(text).is_some() || has_placeholder(text) {
        return None;
    }
    let finding = Finding::new(Severity::Silent, format!("`{text}` is no value of `{UPSTREAM_PROTOCOL}`"))
        .at(var.value_span(), "expected Amqp, AmqpWs, Mqtt or MqttWs")
        .because("IoT Edge takes it for nothing and talks AMQP");
    Some(finding.fix(match UpstreamProtocol::meant(text) {
        Some(meant) => {
            let (path, value) = var.with_value(meant.word());
            Fix::ask(format!("write `{}`", meant.word())).set(path, value)
        }
        None => Fix::advice("write `AmqpWs` behind a proxy, else what the site lets out"),
    }))
}
