use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Image, Manifest, Module, Route};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # edgeHub asked for what it cannot do
    ///
    /// Priority and time to live of a *route* came with edgeHub 1.0.10 and version 1.1 of the schema; an older edgeHub,
    /// or `schemaVersion` 1.0, knows routes as plain strings only. The MQTT broker was a preview of edgeHub 1.2. The
    /// runtime of the device is a 1.1; which edgeHub it starts is chosen by the image in the deployment.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "systemModules": {
    ///     "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.0.9" } } } } },
    ///   "$edgeHub": { "properties.desired": { "schemaVersion": "1.0", "routes": {
    ///     "alarms": { "route": "FROM /messages/modules/alarm/* INTO $upstream", "priority": 0 } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "systemModules": {
    ///     "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } } } } },
    ///   "$edgeHub": { "properties.desired": { "schemaVersion": "1.1", "routes": {
    ///     "alarms": { "route": "FROM /messages/modules/alarm/* INTO $upstream", "priority": 0 } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks for the version of the schema. A newer image, or routes in place of the broker's topics, are left to you.
    id: "hub-schema",
    codes: &["HUB-008"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "IE-TWIN; SCHEMA; ASE-VM; announcement of route priority, October 2020",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let Some(hub) = manifest.section("$edgeHub") else { return Verdict::NotApplicable };
    let broker = hub.property("mqttBroker").map(broker);
    let routes = manifest.routes();
    let object = routes.iter().find(|route| route.at.kind() == Kind::Object);
    let version = hub.property("schemaVersion").filter(|at| at.as_str() == Some("1.0"));
    let schema = object.zip(version).map(|(route, version)| old_schema(route, version));
    let image =
        manifest.modules().find(|module| module.is_system() && module.id() == "edgeHub").and_then(Module::image);
    let image = object.zip(image.filter(is_older)).map(|(route, image)| old_image(route, &image));
    Verdict::Judged([broker, schema, image].into_iter().flatten().collect())
}

fn broker(at: At<'_>) -> Finding {
    Finding::new(Severity::Warn, "the MQTT broker of edgeHub is not there")
        .at(at.key_span(), "a preview of edgeHub 1.2")
        .because("the runtime of the device is a 1.1: clients that use topics of their own do not find a broker")
        .fix(Fix::advice("let modules send messages along routes, or bring a broker as a module"))
}

fn old_schema(route: &Route<'_>, version: At<'_>) -> Finding {
    Finding::new(Severity::Warn, format!("route `{}` is an object, which schema 1.0 does not know", route.name))
        .at(version.span(), "routes are strings in 1.0")
        .related(route.at.key_span(), "an object")
        .because("priority and time to live of routes came with 1.1")
        .fix(Fix::ask("write `1.1`").set(version.path(), "1.1"))
}

fn old_image(route: &Route<'_>, image: &Image<'_>) -> Finding {
    Finding::new(Severity::Warn, format!("route `{}` is an object, which this edgeHub does not know", route.name))
        .at(image.at.span(), "older than 1.0.10")
        .related(route.at.key_span(), "an object")
        .because("priority and time to live of routes came with edgeHub 1.0.10")
        .fix(Fix::advice("take an edgeHub of 1.1 or later, or write the route as a string"))
}

/// Whether the tag names a release before 1.0.10: `1.0.9`, `1.0.8-rc3`. `1.0` is the newest of them.
fn is_older(image: &Image<'_>) -> bool {
    let patch = image.tag().and_then(|tag| tag.strip_prefix("1.0.")).and_then(|rest| rest.split(['-', '.']).next());
    patch.and_then(|patch| patch.parse::<u32>().ok()).is_some_and(|patch| patch < 10)
}
