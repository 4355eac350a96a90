use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Environment variables where nobody reads them
    ///
    /// The agent reads the variables of a module from `env`, a sibling of `settings`, as `"NAME": { "value": … }`. Inside of
    /// `settings` they are passed over, and a bare value in place of the object is not what the agent expects.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "settings": { "image": "i:1", "env": { "MODE": { "value": "fast" } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "env": { "MODE": { "value": "fast" } }, "settings": { "image": "i:1" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: an edit would repeat the values, which may be secrets. Variables in `settings` need a decision too: the
    /// module has run without them so far.
    id: "manifest-env-place",
    codes: &["COR-11"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 11; SchemaStore deployment schema",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let inside = module.entry().get("settings").and_then(|settings| settings.get_ignoring_case("env"));
    let beside = module.entry().get("env");
    let bare = beside.into_iter().flat_map(At::members).filter(|var| var.kind() != Kind::Object).map(judge_bare);
    if inside.is_none() && beside.is_none() {
        return Verdict::NotApplicable;
    }
    let inside = inside.map(|env| {
        Finding::new(Severity::Silent, "`env` stands in `settings`")
            .at(env.key_span(), "not read here")
            .because("the module starts without these variables")
            .fix(Fix::advice("move it out of `settings`, if the module is to have these variables"))
    });
    Verdict::Judged(inside.into_iter().chain(bare).collect())
}

fn judge_bare(var: At<'_>) -> Finding {
    let name = var.key().unwrap_or_default();
    let finding = Finding::new(Severity::Warn, format!("the variable `{name}` is no object with a `value`"))
        .at(var.key_span(), "expected { \"value\": … }")
        .because("the agent expects an object here");
    match var.kind() {
        Kind::Array | Kind::Null => finding.fix(Fix::advice("write { \"value\": … }")),
        // The edit would repeat the value, which may be a secret: say how, do not write it down.
        _ if !var.as_text().is_some_and(has_placeholder) => {
            finding.fix(Fix::advice("write { \"value\": … } around it"))
        }
        _ => finding.fix(Fix::advice("write { \"value\": … } around the placeholder")),
    }
}
