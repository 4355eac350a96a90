use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::Observed;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Call, Service};
use crate::manifest::{METRICS_PORT, Module};
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # Metrics that are collected and not there
    ///
    /// The module collects the metrics of edgeHub or of edgeAgent, and from the module that looks there is no page with metrics on port 9600 of it. Where
    /// the deployment lacks the port on Kubernetes, `monitoring-hub-metrics` says that already.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///     "systemModules": { "edgeHub": { "settings": { "image": "hub:1", "createOptions": "{\"ExposedPorts\":{\"9600/tcp\":{}}}" } } },
    ///     "modules": { "collector": { "env": { "URL": { "value": "http://edgeHub:9600/metrics" } }, "settings": { "image": "c:1" } } } } } } },
    ///   "network": { "metrics": { "edgeHub": "absent" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///     "systemModules": { "edgeHub": { "settings": { "image": "hub:1", "createOptions": "{\"ExposedPorts\":{\"9600/tcp\":{}}}" } } },
    ///     "modules": { "collector": { "env": { "URL": { "value": "http://edgeHub:9600/metrics" } }, "settings": { "image": "c:1" } } } } } } },
    ///   "network": { "metrics": { "edgeHub": { "known": { "status": 200, "format": "0.0.4", "families": 40 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: look whether `MetricsEnabled` of edgeHub is false, or another port is set.
    id: "monitoring-metrics-unreachable",
    codes: &[],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Network, Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "iotedge-protocol §B8; migration rules MON-001, MON-002",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    let (Some(module), Some(network)) = (sighting.declared, sighting.network) else { return Verdict::NotApplicable };
    let looked_at = |id: &str| network.metrics.get(id).filter(|_| !(network.from_kubernetes && lacks_port(module, id)));
    let collected = collected(module, context).into_iter().filter_map(|(id, at)| Some((id, at, looked_at(id)?)));
    Verdict::each(collected, |(id, at, page)| {
        let observed = match page {
            Observed::Known(page) if page.status == 200 && page.families > 0 => return None,
            Observed::Known(page) if page.status == 200 => "no metrics are on the page".to_owned(),
            Observed::Known(page) => format!("HTTP status {}", page.status),
            Observed::Absent => "nobody listens there".to_owned(),
            Observed::Unknown(why) => why.what.clone().into_owned(),
        };
        Some(
            Finding::new(Severity::Warn, format!("`{}` collects metrics of {id}, and there are none", sighting.id))
                .at(at, observed)
                .because("what is shown of the device stays empty, and nobody is told")
                .fix(Fix::advice(format!(
                    "look whether the metrics of {id} are switched off, or served on another port"
                ))),
        )
    })
}

/// Whose metrics `module` collects, and where that is written.
fn collected(module: Module<'_>, context: &Context<'_>) -> Vec<(&'static str, Span)> {
    let ids = ["edgeHub", "edgeAgent"];
    let default = module.collects_default_metrics().map(At::span);
    let called = |id: &'static str| {
        let is_it = |call: &&Call<'_>| call.address.port == Some(METRICS_PORT) && call.callee.id() == id;
        context.calls.by(module).find(is_it).map(Call::span).or(default).map(|at| (id, at))
    };
    ids.into_iter().filter_map(called).collect()
}

fn lacks_port(module: Module<'_>, id: &str) -> bool {
    let other = module.manifest().system_modules().find(|other| other.id() == id);
    other.is_some_and(|other| !Service::of(other).may_listen(METRICS_PORT))
}
