use crate::engine::{Check, Context, Need, Rule, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::objects::{Fault, faults_of};
use crate::manifest::{Module, has_placeholder};
use crate::rules::unsaid::{can_be_made, retain_unsaid};
use crate::rules::{image, naming, network, options, storage};
use crate::target::Platform;
use crate::text::{Span, Step};

/// Rules that say in words of their own what the agent stumbles over.
const OWN: [&Rule; 8] = [
    &image::missing::RULE,
    &naming::label_key::RULE,
    &naming::not_a_label::RULE,
    &network::port_syntax::RULE,
    &options::command_string::RULE,
    &storage::incomplete_mount::RULE,
    &storage::untranslated_mount::RULE,
    &storage::volume_name::RULE,
];

rule! {
    /// # Option that the agent cannot read
    ///
    /// The agent reads createOptions into types of its own, and then works with them. It stumbles over an option of
    /// another type (`"Memory": "512m"`, a list in place of an object) even where the option does nothing on Kubernetes,
    /// over `null` in place of a number or a boolean or among the elements of a list, over a port that is made of slashes
    /// alone, and over a key that stands there in two spellings. Whatever it stumbles over ends its work for **all** modules.
    ///
    /// Text that spells a number or a boolean is fine: `"Privileged": "true"`. Of Docker's words for `RestartPolicy` the agent
    /// reads `no` and `always`, but not `on-failure`, `unless-stopped` or an empty one.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "ShmSize": "512m" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "ShmSize": 536870912 } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what is meant is for you to say.
    id: "options-unreadable",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `Agent.Docker/models/`, `PortExtensions.cs`, `KubernetesDeploymentMapper.cs`; that two spellings, slashes and words of `RestartPolicy` throw is inferred",
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
    let mut faults = faults_of(module, &context.agent_settings);
    faults.retain(|fault| !has_placeholder(document.slice(place(module, fault))));
    // One mount can keep the agent from making the Deployment and the claim.
    faults.dedup_by(|one, other| one.span == other.span);
    let counts = |finding: &Finding| finding.severity == Severity::Block;
    retain_unsaid(&mut faults, |fault| place(module, fault), &OWN, counts, (module, context));
    Verdict::Judged(faults.iter().map(|fault| finding(module, fault)).collect())
}

/// The bytes at fault: for the module as a whole, its name.
fn place(module: Module<'_>, fault: &Fault) -> Span {
    let entry = module.entry();
    if fault.span == entry.span() { entry.key_span() } else { fault.span }
}

fn finding(module: Module<'_>, fault: &Fault) -> Finding {
    let id = module.id();
    let option = fault.path.steps().iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key),
        Step::Index(_) => None,
    });
    let option = option.filter(|option| *option != id).map_or(String::new(), |option| format!("`{option}` of "));
    let what = if fault.message.starts_with("is ") { "it " } else { "" };
    Finding::new(Severity::Block, format!("the agent cannot read {option}`{id}`: {what}{}", fault.message))
        .at(place(module, fault), fault.kind.exception())
        .because("it stumbles here, and the deployment fails for all modules")
        .fix(Fix::advice("write it as the agent reads it, or leave it out"))
}
