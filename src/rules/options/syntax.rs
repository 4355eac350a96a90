use crate::engine::{Check, Context, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, Options};
use crate::target::Platform;

rule! {
    /// # createOptions that are not JSON
    ///
    /// The agent reads createOptions as JSON. Where they are not, the module cannot be made, and with it the whole
    /// deployment fails. The samples of the migration guide are themselves one brace short in two places, and people
    /// paste them.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "settings": { "image": "i:1", "createOptions": "{ \"HostConfig\": { \"Privileged\": true }" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "settings": { "image": "i:1", "createOptions": "{ \"HostConfig\": { \"Privileged\": true } }" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: what is missing where can only be guessed. The finding names the bracket that stays open. No other rule
    /// that reads createOptions is evaluated for the module.
    id: "options-syntax",
    codes: &["OPT-008"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: Platform::ALL,
    seed: &[],
    source: "seed samples 6 and 7 (contradiction C7); agent `Constants.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    match module.options() {
        Options::Absent => Verdict::NotApplicable,
        Options::Parsed(_) => Verdict::Judged(Vec::new()),
        Options::Broken { node, error } => {
            let document = module.manifest().document();
            let at = error.at.first().map_or(document.at(*node).span(), |range| document.span_in_file(range.clone()));
            let finding = Finding::new(Severity::Block, format!("createOptions are not JSON: {}", error.message))
                .at(at, "the agent cannot read them from here")
                .because("the module is not made, and the deployment fails for all modules");
            let help = error.help.clone().unwrap_or_else(|| "repair the createOptions".to_owned());
            let finding = error
                .notes
                .iter()
                .filter_map(|note| Some((note.at.first()?, &note.label)))
                .fold(finding, |finding, (range, label)| {
                    finding.related(document.span_in_file(range.clone()), label.clone())
                });
            Verdict::Judged(vec![finding.fix(Fix::advice(help))])
        }
    }
}
