use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Safety, Severity};
use crate::kube_model::{Call, Service, declare_port};
use crate::manifest::{METRICS_PORT, Module};
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # Metrics of edgeHub behind a closed port
    ///
    /// edgeHub serves metrics at port 9600. On Docker a collector calls `http://edgeHub:9600/metrics` whatever edgeHub
    /// declares; on Kubernetes the Service `edgehub` passes on declared ports only. The collector gets errors, and
    /// nothing is red.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///     "ExposedPorts": { "8883/tcp": {}, "5671/tcp": {}, "443/tcp": {} } } } } },
    ///   "modules": { "metrics": {
    ///     "env": { "MetricsEndpointsCSV": { "value": "http://edgeHub:9600/metrics" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-metrics-collector:1.0" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///     "ExposedPorts": { "8883/tcp": {}, "5671/tcp": {}, "443/tcp": {}, "9600/tcp": {} } } } } },
    ///   "modules": { "metrics": {
    ///     "env": { "MetricsEndpointsCSV": { "value": "http://edgeHub:9600/metrics" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-metrics-collector:1.0" } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the port is declared in edgeHub's `ExposedPorts`. Asks where edgeHub has an external address, because its
    /// metrics could then be read from outside.
    id: "monitoring-hub-metrics",
    codes: &["MON-002"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-BP modulecomms; agent `KubernetesServiceMapper.cs`; IE-MET for the default",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let is_hub = |module: &Module<'_>| module.is_system() && module.id() == "edgeHub";
    let metrics = |call: &&Call<'_>| call.address.port == Some(METRICS_PORT) && is_hub(&call.callee);
    let called = context.calls.by(module).find(metrics).map(Call::span);
    let default = module.collects_default_metrics().map(At::span);
    // A layer over an edgeHub that is written elsewhere says nothing about its ports.
    let hub = module.manifest().system_modules().find(is_hub).filter(|hub| hub.entry().get("settings").is_some());
    Verdict::each(called.or(default).zip(hub), |(span, hub)| {
        let service = Service::of(hub);
        (!service.may_listen(METRICS_PORT)).then(|| finding(span, called.is_some(), hub, &service))
    })
}

fn finding(span: Span, named: bool, hub: Module<'_>, service: &Service<'_>) -> Finding {
    let label = if named { "reachable on Docker only" } else { "asks edgeHub if no endpoints are named" };
    Finding::new(Severity::Warn, "the module collects metrics of edgeHub, which does not declare their port")
        .at(span, label)
        .related(hub.entry().key_span(), format!("does not declare {METRICS_PORT}"))
        .because("a Service passes on only the ports that are declared, so the collector gets errors")
        .fix(declare_port(hub, service, &format!("{METRICS_PORT}/tcp")))
}
