use std::ops::Range;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Argument, METRICS_ENDPOINTS, METRICS_PORT, Module};
use crate::target::Platform;

rule! {
    /// # Metrics of edgeAgent that there are not
    ///
    /// On Docker edgeAgent serves metrics of all modules (processor, memory, restarts) at
    /// `http://edgeAgent:9600/metrics`. On Kubernetes it serves none, and there is no Service at which it could be
    /// called. A collector that asks for them gets errors and nothing else, and so does Microsoft's metrics collector
    /// if no endpoints are named: edgeAgent is one of its two defaults.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "metrics": {
    ///     "env": { "MetricsEndpointsCSV": { "value": "http://edgeHub:9600/metrics,http://edgeAgent:9600/metrics" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-metrics-collector:1.0" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "metrics": {
    ///     "env": { "MetricsEndpointsCSV": { "value": "http://edgeHub:9600/metrics" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-metrics-collector:1.0" } } } } } } }
    /// ```
    ///
    /// EdgeShift's own module reports what can be known of the modules and the GPUs.
    ///
    /// ## Fix
    ///
    /// Asks: dashboards that show these metrics stay empty. The endpoint is taken out of the list, or the list without
    /// it is written. Where it is the only one, the module has nothing left to collect and only words help.
    id: "monitoring-agent-metrics",
    codes: &["MON-001"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-KI; IE-MET for the default",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if let Some(image) = module.collects_default_metrics() {
        let finding = finding().at(image.span(), "asks edgeAgent if no endpoints are named");
        let fix = Fix::ask("name edgeHub as the only endpoint");
        let path = module.entry().path().key("env").key(METRICS_ENDPOINTS).key("value");
        return Verdict::Judged(vec![finding.fix(fix.set(path, "http://edgeHub:9600/metrics"))]);
    }
    let (arguments, port) = (module.arguments(), METRICS_PORT.to_string());
    // Nearly no text has the port.
    let with_port = arguments.iter().filter(|argument| argument.text.contains(&port));
    let addresses = with_port.flat_map(|argument| {
        let asked = argument.addresses().into_iter().filter(|address| address.port == Some(METRICS_PORT));
        asked.map(move |address| (argument, address))
    });
    Verdict::each(addresses, |(argument, address)| {
        address.host.eq_ignore_ascii_case("edgeAgent").then(|| {
            let finding = finding().at(argument.part(address.range()), "nobody there");
            finding.fix(without(argument, &address.host_range))
        })
    })
}

fn finding() -> Finding {
    Finding::new(Severity::Warn, "the module collects metrics of edgeAgent, which has none on Kubernetes")
        .because("the collector gets errors, and what is made of processor, memory and restarts stays empty")
}

/// Takes the entry that names `host` out of a list.
fn without(argument: &Argument<'_>, host: &Range<usize>) -> Fix {
    let text = argument.text;
    let before = text[..host.start].rfind(',');
    let after = text[host.end..].find(',').map(|length| host.end + length);
    let of_list = argument.name.is_some_and(|name| name.eq_ignore_ascii_case(METRICS_ENDPOINTS));
    let range = match (before, after) {
        (Some(before), after) if of_list => before..after.unwrap_or(text.len()),
        (None, Some(after)) if of_list => 0..text.len() - text[after + 1..].trim_start().len(),
        _ => return Fix::advice("collect from edgeHub and from your own modules; EdgeShift reports on the others"),
    };
    argument.replaced(Fix::ask("take edgeAgent out of the list"), range, "")
}
