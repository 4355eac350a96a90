use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Key without quotes
    ///
    /// The agent's parser takes `HostConfig:{…` for `"HostConfig":{…`. Most other programs refuse it: the tool that makes
    /// your next deployment, for one.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": { "settings": {
    ///   "image": "i:1", "createOptions": "{HostConfig:{\"Privileged\":true}}" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": { "settings": {
    ///   "image": "i:1", "createOptions": "{\"HostConfig\":{\"Privileged\":true}}" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Put the key in quotes. It is read all the same: the other rules judge what stands under it.
    id: "manifest-unquoted-key",
    codes: &["COR-17"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 17 (that the agent accepts it is from memory of its parser, not tried)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let document = module.manifest().document();
    let Some(root) = module.options().root().map(|id| document.at(id)) else { return Verdict::NotApplicable };
    let mut unquoted = Vec::new();
    collect(root, &mut unquoted);
    let findings = unquoted.into_iter().map(|member| {
        let key = member.key().unwrap_or_default();
        Finding::new(Severity::Info, format!("the key `{key}` has no quotes"))
            .at(member.key_span(), "read as a key all the same")
            .because("the agent's parser accepts it, most other programs do not")
            .fix(Fix::advice(format!("write \"{key}\"")))
    });
    Verdict::Judged(findings.collect())
}

fn collect<'m>(at: At<'m>, unquoted: &mut Vec<At<'m>>) {
    let children: Vec<At<'m>> = if at.kind() == Kind::Array { at.items().collect() } else { at.members().collect() };
    for child in children {
        if child.key().is_some() && !child.is_key_quoted() {
            unquoted.push(child);
        }
        collect(child, unquoted);
    }
}
