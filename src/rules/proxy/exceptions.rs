use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Address, Module, excepts};
use crate::rules::network::cluster_address::owner;
use crate::target::Platform;
use crate::text::Span;

/// Where a module on Kubernetes finds the sidecar, and edgeHub.
const SIDECAR: &str = "localhost";
const EDGE_HUB: &str = "edgehub";

rule! {
    /// # Call to a sibling that goes to the proxy
    ///
    /// The module that runs has a web proxy, and its `no_proxy` does not cover what it calls on the device: siblings that it is told to call by HTTP;
    /// and, of the module that looks, edgeHub by its host name (`IOTEDGE_GATEWAYHOSTNAME`), and on Kubernetes the sidecar (`localhost`, from which it
    /// has its identity) and addresses of the cluster that it is told to call by HTTP. The proxy does not know these
    /// names and does not reach these addresses, so the calls fail. What the deployment says is judged by `proxy-no-proxy`; this rule looks at what is in force.
    ///
    /// An address is covered by itself or by its network, `172.28.0.0/16`. Not every program understands networks there.
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
    source: "variables of the container, or of the process that looks; migration rules PRX-001, NET-009; IE-PROXY; `ase-runtime.md` §2.1",
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
        let calls = context.calls.by(module).filter(|call| is_http(&call.address));
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
        let edge_hub = gateway(sighting).unwrap_or(EDGE_HUB).to_owned();
        called.push(Called { host: edge_hub, severity, at: None, why });
        called.extend(sighting.declared.into_iter().flat_map(in_cluster));
    } else if let Some(edge_hub) = gateway(sighting).filter(|_| sighting.process.is_some()) {
        let why = "calls of other modules' methods, and WebSockets to edgeHub, fail unless the proxy knows the device by this name";
        called.push(Called { host: edge_hub.to_owned(), severity: Severity::Warn, at: None, why });
    }
    called
}

/// The host name of edgeHub, as the module that looks has it.
fn gateway<'a>(sighting: &Sighting<'a>) -> Option<&'a str> {
    sighting.network?.peers.get("edgeHub").map(|peer| peer.host.as_str())
}

/// The addresses of the cluster that a module is told to call by HTTP.
fn in_cluster(module: Module<'_>) -> Vec<Called> {
    let arguments = module.arguments();
    let addresses = arguments.iter().flat_map(|argument| {
        let addresses = argument.addresses().into_iter();
        addresses.filter(is_http).map(|address| (address.host, argument.part(address.range())))
    });
    let called = addresses.filter(|(host, _)| host.parse().ok().and_then(owner).is_some()).map(|(host, at)| Called {
        host: host.to_owned(),
        severity: Severity::Silent,
        at: Some(at),
        why: "the address is inside the cluster, where the proxy does not reach it, so the call fails",
    });
    called.collect()
}

fn is_http(address: &Address<'_>) -> bool {
    address.scheme.is_some_and(|scheme| ["http", "https"].contains(&scheme))
}
