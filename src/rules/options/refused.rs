use crate::engine::{Check, Context, Need, Rule, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::objects::{Refused, refused_of};
use crate::manifest::{Module, has_placeholder};
use crate::rules::unsaid::{can_be_made, retain_unsaid};
use crate::rules::{compute, lifecycle, naming, network, options, proxy, resources, storage};
use crate::target::Platform;

/// Rules that say in words of their own what Kubernetes refuses.
const OWN: [&Rule; 17] = [
    &compute::fpga_resource::RULE,
    &compute::gpu_request::RULE,
    &lifecycle::strategy::RULE,
    &naming::leading_digit::RULE,
    &naming::not_a_label::RULE,
    &naming::reserved::RULE,
    &network::duplicate_port::RULE,
    &network::mixed_protocols::RULE,
    &network::port_syntax::RULE,
    &options::env_colon::RULE,
    &options::env_name::RULE,
    &proxy::upstream_spelling::RULE,
    &resources::quantity::RULE,
    &storage::bind_target::RULE,
    &storage::duplicate_target::RULE,
    &storage::reserved_volume::RULE,
    &storage::volume_collision::RULE,
];

rule! {
    /// # Field that Kubernetes refuses
    ///
    /// What stands in `k8s-experimental` becomes part of the module's Kubernetes objects as it is, and paths, labels and ports
    /// become fields of them too. Kubernetes looks at every field before it takes an object: a mount needs a volume,
    /// paths must not have `..` in them, users are numbers, the keys and values of a `nodeSelector` are labels. One
    /// field too many, and it refuses the object; the agent stops there, with **all** modules that come later.
    ///
    /// This rule makes the objects as the agent makes them, checks them as Kubernetes 1.20 does, and points at what the
    /// refused field was made of. What another rule says already is left to that rule.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "volumes": [{
    ///     "volume": { "name": "cache", "hostPath": { "path": "/var/cache", "type": "dir" } },
    ///     "volumeMounts": [{ "name": "cache", "mountPath": "/cache" }] }] } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "volumes": [{
    ///     "volume": { "name": "cache", "hostPath": { "path": "/var/cache", "type": "DirectoryOrCreate" } },
    ///     "volumeMounts": [{ "name": "cache", "mountPath": "/cache" }] }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what is meant is for you to say.
    id: "options-refused",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "Kubernetes `validation.go`; held against the API server of Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    if !can_be_made(module) {
        return Verdict::NotApplicable;
    }
    if context.is_plain(module) {
        return Verdict::Judged(Vec::new());
    }
    let document = module.manifest().document();
    let mut refused = refused_of(module, &context.agent_settings);
    // Kubernetes has the same mark for variables in `subPathExpr` that tools have for what they fill in.
    let is_hidden =
        |one: &Refused| has_placeholder(document.slice(one.span)) && !one.refusal.place.ends_with(".subPathExpr");
    refused.retain(|one| !one.refusal.follows && !is_hidden(one));
    // For edgeAgent, which takes over its own options only with its next image, all of them warn.
    let counts = |finding: &Finding| finding.severity == Severity::Block || is_edge_agent(module);
    retain_unsaid(&mut refused, |one| one.span, &OWN, counts, (module, context));
    // One field of the manifest can become several of the objects.
    refused.dedup_by(|one, other| one.span == other.span && one.refusal.because == other.refusal.because);
    Verdict::Judged(refused.iter().map(|one| finding(module, one)).collect())
}

fn finding(module: Module<'_>, refused: &Refused) -> Finding {
    let Refused { kind, refusal, span } = refused;
    let (severity, reason) = match *kind {
        "Deployment" if is_edge_agent(module) => {
            (Severity::Warn, "the agent takes over its own options only with its next image, and is refused then")
        }
        "Deployment" | "PersistentVolumeClaim" => (Severity::Block, "the agent stops there: no module gets its claims"),
        _ => (Severity::Block, "the agent stops there, before it has made or updated any module of the deployment"),
    };
    let field = refusal.place.trim_start_matches("spec.template.").trim_start_matches("spec.");
    let message = format!("Kubernetes refuses `{field}` of `{}`: {}", module.id(), sentence(&refusal.because));
    Finding::new(severity, message)
        .at(*span, "this becomes the field that is refused")
        .because(reason)
        .fix(Fix::advice("write what Kubernetes takes, or leave it out"))
}

fn is_edge_agent(module: Module<'_>) -> bool {
    module.is_system() && module.id() == "edgeAgent"
}

/// The reason as a sentence of its own.
fn sentence(because: &str) -> String {
    let verbs = ["cannot", "does", "has", "is", "may", "must", "needs", "takes"];
    let is_verb = because.split(' ').next().is_some_and(|word| verbs.contains(&word));
    if is_verb { format!("it {because}") } else { because.to_owned() }
}
