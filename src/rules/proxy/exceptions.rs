use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::Call;
use crate::manifest::{Module, excepts};
use crate::target::Platform;
use crate::text::Span;

/// Where a module on Kubernetes finds the sidecar, and edgeHub.
const SIDECAR: &str = "localhost";
const EDGE_HUB: &str = "edgehub";

rule! {
    /// # Call to a sibling that goes to the proxy
    ///
    /// The module that runs has a web proxy, and its `no_proxy` does not cover what it calls on the device: siblings that it is told to call by HTTP,
    /// and on Kubernetes the sidecar (`localhost`, from which it has its identity) and edgeHub. The proxy does not know these
    /// names, so the calls fail. What the deployment says is judged by `proxy-no-proxy`; this rule looks at what is in force.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "reader": { "env": { "SOURCE": { "value": "http://cache:8080/frames" } }, "settings": { "image": "reader:1" } },
    ///     "cache": { "settings": { "image": "cache:1" } } } } } } },
    ///   "engine": { "containers": { "reader": { "status": "running", "no_proxy": "localhost", "proxies": [
    ///     { "variable": "http_proxy", "address": "proxy:3128", "answer": "connects" }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///     "reader": { "env": { "SOURCE": { "value": "http://cache:8080/frames" } }, "settings": { "image": "reader:1" } },
    ///     "cache": { "settings": { "image": "cache:1" } } } } } } },
    ///   "engine": { "containers": { "reader": { "status": "running", "no_proxy": "localhost,cache", "proxies": [
    ///     { "variable": "http_proxy", "address": "proxy:3128", "answer": "connects" }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: add the names to `no_proxy` in the deployment.
    id: "proxy-exceptions",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Inside],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "variables of the container, or of the process that looks; migration rules PRX-001; IE-PROXY",
    check: Check::Running(check),
}

/// A name that is called and may go to the proxy.
struct Called {
    host: String,
    severity: Severity,
    at: Option<Span>,
    why: &'static str,
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    let Some(proxies) = sighting.proxies().filter(|_| sighting.may_run()) else { return Verdict::NotApplicable };
    if proxies.is_empty() {
        return Verdict::NotApplicable;
    }
    let list = sighting.no_proxy().unwrap_or_default();
    let mut called = called(sighting, context);
    called.sort_by(|a, b| a.host.cmp(&b.host));
    called.dedup_by(|a, b| a.host == b.host);
    Verdict::each(called, |called| {
        let Called { host, severity, at, why } = called;
        (!excepts(list, &host)).then(|| {
            let message = format!("`{}` calls `{host}`, and `no_proxy` sends that to the proxy", sighting.id);
            let finding = Finding::new(severity, message)
                .because(why)
                .fix(Fix::advice(format!("add `{host}` to `no_proxy` of the module")));
            let in_force =
                if list.is_empty() { "in force: no `no_proxy`".to_owned() } else { format!("in force: `{list}`") };
            match at {
                Some(at) => finding.at(at, in_force),
                None => finding,
            }
        })
    })
}

fn called(sighting: &Sighting<'_>, context: &Context<'_>) -> Vec<Called> {
    let of_siblings = |module: Module<'_>| {
        let by_http = |call: &&Call<'_>| call.address.scheme.is_some_and(|scheme| ["http", "https"].contains(&scheme));
        let calls = context.calls.by(module).filter(by_http);
        let called = calls.map(|call| Called {
            host: call.address.host.to_owned(),
            severity: Severity::Silent,
            at: Some(call.span()),
            why: "the proxy does not know the names of modules, so the call fails",
        });
        called.collect::<Vec<_>>()
    };
    let mut called = sighting.declared.map(of_siblings).unwrap_or_default();
    let from_kubernetes = sighting.network.is_some_and(|network| network.from_kubernetes);
    if from_kubernetes && sighting.process.is_some() {
        let (severity, why) = (Severity::Block, "its request for an identity, to http://localhost:35001, fails");
        // What the deployment lacks is said by `proxy-no-proxy`.
        let is_said = sighting.declared.is_some_and(|module| {
            let mut lists = module.env().into_iter().filter(|var| var.name.eq_ignore_ascii_case("no_proxy"));
            !lists.any(|var| excepts(var.value, SIDECAR))
        });
        if !is_said {
            called.push(Called { host: SIDECAR.to_owned(), severity, at: None, why });
        }
        let (severity, why) = (Severity::Warn, "calls of other modules' methods, and WebSockets to edgeHub, fail");
        called.push(Called { host: EDGE_HUB.to_owned(), severity, at: None, why });
    }
    called
}
