use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Form, Manifest, Route, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Route that leads nowhere
    ///
    /// A route names modules by their ids, in its source and in its sink. Where no module of the deployment has that
    /// id, often because one was renamed for Kubernetes, the route never matches or its messages wait for a module that
    /// never comes. Nothing is red.
    ///
    /// The *name* of a route is a key in a twin: IoT Hub takes none with `.`, `$`, a space or a control character, and
    /// edgeHub none with `#`.
    ///
    /// An id in other case is another id for IoT Hub. We did not find whether edgeHub compares ids by case, and real
    /// deployments do write them both ways.
    ///
    /// A layer is judged by the names of its routes only: the modules may be in other layers.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "modules": {
    ///     "camera-feed": { "settings": { "image": "feed:1" } } } } },
    ///   "$edgeHub": { "properties.desired": { "routes": {
    ///     "frames": "FROM /messages/modules/camera_feed/outputs/* INTO $upstream" } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "modules": {
    ///     "camera-feed": { "settings": { "image": "feed:1" } } } } },
    ///   "$edgeHub": { "properties.desired": { "routes": {
    ///     "frames": "FROM /messages/modules/camera-feed/outputs/* INTO $upstream" } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, where a module has almost that id (in other case, or without `-` and `_`), and for names of routes, where
    /// `-` is offered for each character that cannot be.
    id: "hub-route",
    codes: &["HUB-006"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment],
    targets: Platform::ALL,
    seed: &[],
    source: "ASE-FPGA, sample route; ASE-COMP; iotedge `Route_priority_and_TTL.md`; DEVTWIN for keys; IDREG for ids (`iothub-limits.md` §6)",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let routes = manifest.routes();
    if routes.is_empty() {
        return Verdict::NotApplicable;
    }
    let names = routes.iter().filter_map(name);
    let modules = routes.iter().filter(|_| manifest.form() != Form::Layered).flat_map(|route| unknown(manifest, route));
    Verdict::Judged(names.chain(modules).collect())
}

fn name(route: &Route<'_>) -> Option<Finding> {
    let odd = |c: char| matches!(c, '.' | '$' | '#') || c.is_whitespace() || c.is_control();
    let first = route.name.chars().find(|c| odd(*c)).filter(|_| !has_placeholder(route.name))?;
    let reason = if first == '#' { "edgeHub takes no such key" } else { "IoT Hub takes no such key in a twin" };
    let allowed = route.name.replace(odd, "-");
    let key = route.at.key()?;
    let renamed = format!("{}{allowed}", key.strip_suffix(route.name)?);
    let shown = match first {
        ' ' => "a space".to_owned(),
        c if c.is_whitespace() || c.is_control() => "a character that cannot be seen".to_owned(),
        c => format!("`{c}`"),
    };
    Some(
        Finding::new(Severity::Warn, format!("`{}` cannot be the name of a route", route.name))
            .at(route.at.key_span(), format!("contains {shown}"))
            .because(reason)
            .fix(Fix::ask(format!("call it `{allowed}`")).rename(route.at.path(), renamed)),
    )
}

/// The modules that a route names and that are not there.
fn unknown(manifest: &Manifest, route: &Route<'_>) -> Vec<Finding> {
    let Some(text) = route.text else { return Vec::new() };
    // A module whose name is a placeholder may be any.
    let any = manifest.modules().any(|module| has_placeholder(module.id()));
    let missing = route.modules().into_iter().filter(|(id, _)| {
        !any && is_id(id) && !manifest.modules().any(|module| module.id() == id.trim_start_matches('$'))
    });
    let finding = |(id, range): (&str, std::ops::Range<usize>)| {
        let at = text.part(range.clone());
        let named = format!("route `{}` names `{id}`, which is no module here", route.name);
        let Some(module) = manifest.modules().find(|module| alike(module.id(), id)) else {
            return Finding::new(Severity::Warn, named)
                .at(at, "no such module")
                .because("the route never matches, or its messages wait for a module that never comes")
                .fix(Fix::advice("name the module by its id here, or remove the route"));
        };
        let finding = if module.id().eq_ignore_ascii_case(id) {
            let message = format!("route `{}` writes `{id}` for `{}`", route.name, module.id());
            Finding::new(Severity::Warn, message)
                .at(at, "in other case than the module")
                .because("ids are case-sensitive in IoT Hub; whether edgeHub takes the two for one was not found")
        } else {
            Finding::new(Severity::Warn, named)
                .at(at, "no such module")
                .because("the route never matches, or its messages wait for a module that never comes")
        };
        let fix = Fix::ask(format!("name `{}`", module.id())).replace(text.path(), range, module.id());
        finding.related(module.entry().key_span(), "this may be meant").fix(fix)
    };
    missing.map(finding).collect()
}

/// Whether `text` can be a module's id, not a mark that a tool replaces (`%MODULE%`).
fn is_id(text: &str) -> bool {
    !has_placeholder(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.$".contains(c))
}

/// Whether two ids differ by case and by marks only.
fn alike(a: &str, b: &str) -> bool {
    let letters = |id: &str| id.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    !letters(a).is_empty() && letters(a) == letters(b)
}
