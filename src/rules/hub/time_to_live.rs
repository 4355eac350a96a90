use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Form, Manifest, Section, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Path};

/// How long edgeHub keeps a message if nobody says so, in seconds.
const DEFAULT: i64 = 7200;

/// The most that there is.
const MAX: i64 = i32::MAX as i64;

rule! {
    /// # Messages that expire during the move
    ///
    /// While the site is without IoT Hub, edgeHub keeps messages for `timeToLiveSecs` of its
    /// `storeAndForwardConfiguration`, two hours if nothing is written, and then drops them. A move that takes longer
    /// loses what comes in at its beginning.
    ///
    /// Needs `site.downtime_secs`, how long you plan to be without IoT Hub. The documentation warns of negative values;
    /// by edgeHub's code they mean "for ever", and they are taken so here. 0 keeps nothing.
    ///
    /// ## Example
    ///
    /// With a downtime of four hours (14400):
    ///
    /// ```json,fails
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "modules": {} } },
    ///   "$edgeHub": { "properties.desired": {
    ///     "routes": {}, "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "modules": {} } },
    ///   "$edgeHub": { "properties.desired": {
    ///     "routes": {}, "storeAndForwardConfiguration": { "timeToLiveSecs": 28800 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and offers twice the downtime. Mind the space that the messages need until then.
    id: "hub-time-to-live",
    codes: &["HUB-005"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::Downtime],
    targets: Platform::ALL,
    seed: &[],
    source: "IE-PROD; IE-OFF; IE-TWIN; edgeHub `StoreAndForwardConfiguration.cs`",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, context: &Context<'_>) -> Verdict {
    let downtime = i64::from(context.site.downtime_secs.unwrap_or_default());
    Verdict::each(manifest.section("$edgeHub"), |hub| {
        let written = hub.property("storeAndForwardConfiguration").and_then(|at| at.get("timeToLiveSecs"));
        // A layer leaves to others what it does not say.
        if written.is_none() && manifest.form() == Form::Layered {
            return None;
        }
        if written.and_then(At::as_str).is_some_and(has_placeholder) {
            return None;
        }
        let seconds = written.and_then(At::as_i64).unwrap_or(DEFAULT);
        (0..downtime).contains(&seconds).then(|| finding(hub, written, seconds, downtime))
    })
}

fn finding(hub: Section<'_>, written: Option<At<'_>>, seconds: i64, downtime: i64) -> Finding {
    let (span, label) = match written {
        Some(at) => (at.span(), "shorter than the move".to_owned()),
        None => (hub.at().key_span(), format!("no `timeToLiveSecs`: {DEFAULT} seconds")),
    };
    let raised = downtime.saturating_mul(2).min(MAX);
    let path = match (written, hub.property("storeAndForwardConfiguration")) {
        (Some(at), _) => at.path(),
        (None, Some(at)) => at.path().key("timeToLiveSecs"),
        (None, None) => below(hub).key("storeAndForwardConfiguration").key("timeToLiveSecs"),
    };
    Finding::new(Severity::Warn, format!("edgeHub keeps messages for {seconds} s, the move takes {downtime} s"))
        .at(span, label)
        .because("what comes in at the beginning of the move has expired when IoT Hub is there again")
        .fix(Fix::ask(format!("keep them for {raised} s")).set(path, raised))
}

fn below(hub: Section<'_>) -> Path {
    hub.at().path().key("properties.desired")
}
