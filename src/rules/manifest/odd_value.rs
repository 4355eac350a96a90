use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::At;

/// The fields with a fixed set of values (`iothub-limits.md` §4).
const FIELDS: [(&str, &[&str]); 4] = [
    ("status", &["running", "stopped"]),
    ("restartPolicy", &["never", "on-failure", "on-unhealthy", "always"]),
    ("imagePullPolicy", &["never", "on-create"]),
    ("type", &["docker"]),
];

rule! {
    /// # Field with a value that there is not
    ///
    /// `status`, `restartPolicy`, `imagePullPolicy` and `type` of a module take a few values each. Another one, mostly a
    /// misspelling such as `on-failured`, is refused, and a `type` other than `docker` stops the whole deployment.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "restartPolicy": "on-failured", "settings": { "image": "i:1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "m": {
    ///   "restartPolicy": "on-failure", "settings": { "image": "i:1" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// It asks where one of the values looks alike.
    id: "manifest-odd-value",
    codes: &["COR-10"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "`corpus.md`, quirk 10; `iothub-limits.md` §4 (SchemaStore); `k8s-translation.md` §1.1 for `type`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let fields = FIELDS.iter().filter_map(|(key, values)| Some((module.entry().get(key)?, *key, *values)));
    Verdict::each(fields, |(field, key, values)| judge(field, key, values))
}

fn judge(field: At<'_>, key: &str, values: &[&str]) -> Option<Finding> {
    let text = field.as_text().unwrap_or_default();
    if values.iter().any(|value| value.eq_ignore_ascii_case(text)) || has_placeholder(text) {
        return None;
    }
    let known = values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    let finding = Finding::new(Severity::Block, format!("`{text}` is no value of `{key}`"))
        .at(field.span(), format!("expected {known}"))
        .because("the agent refuses what it cannot read, and with it the deployment");
    let near = values.iter().find(|value| !text.is_empty() && (text.starts_with(**value) || value.starts_with(text)));
    Some(match near {
        Some(near) => finding.fix(Fix::ask(format!("write `{near}`")).set(field.path(), *near)),
        None => finding.fix(Fix::advice(format!("write one of {known}"))),
    })
}
