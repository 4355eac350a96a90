use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Form, Module};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Module without an image
    ///
    /// Every module of a deployment needs `settings.image`. Without one there is nothing to start: Kubernetes refuses
    /// such a module (`image: Required value`), and the agent then stops in the middle of the deployment.
    ///
    /// In a layered deployment an image that is not written may be written below; only an empty one is reported there.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "", "createOptions": {} } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "${MODULES.scorer}", "createOptions": {} } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: which image is meant is yours to say.
    id: "image-missing",
    codes: &["COR-13"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "SchemaStore deployment schema (`iothub-limits.md` §4); no and empty image refused, observed on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let entry = module.entry();
    let image = entry.get("settings").and_then(|settings| settings.get_ignoring_case("image"));
    if image.is_none() && (module.manifest().form() == Form::Layered || entry.kind() != Kind::Object) {
        return Verdict::NotApplicable;
    }
    if image.and_then(At::as_str).is_some_and(|text| !text.trim().is_empty()) {
        return Verdict::Judged(Vec::new());
    }
    let (span, label) = match image {
        Some(image) => (image.member_span(), "says no image"),
        None => (entry.key_span(), "no `settings.image`"),
    };
    let finding = Finding::new(Severity::Block, format!("`{}` has no image", module.id()))
        .at(span, label)
        .because("there is nothing to start, and Kubernetes refuses such a module")
        .fix(Fix::advice("name the image in `settings.image`, or remove the module"));
    Verdict::Judged(vec![finding])
}
