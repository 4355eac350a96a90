use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Call, Service, declare_port, object_name};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Module that others call, without a Service
    ///
    /// On Docker one module calls another at any port it listens on. On Kubernetes the other one's name resolves only if
    /// it has a Service, and the agent makes a Service only of the ports in `PortBindings` and `ExposedPorts` of the
    /// createOptions; `EXPOSE` in the image is not looked at. Without one, every call fails although both modules run.
    ///
    /// The calls are found in environment variables, `Cmd`, `Entrypoint` and desired properties of the other modules:
    /// URLs, `name:port`, and a name alone where the variable says that it is a host.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "camera": { "settings": { "image": "camera:1", "createOptions": { "Env": ["SCORER=http://scorer:80/image"] } } },
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": {} } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "camera": { "settings": { "image": "camera:1", "createOptions": { "Env": ["SCORER=http://scorer:80/image"] } } },
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": { "ExposedPorts": { "80/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// The migration guide asks for a `HostPort`, which works too, but puts the port on an external address as well. The
    /// agent takes `ExposedPorts` for a Service that stays inside the cluster.
    ///
    /// ## Fix
    ///
    /// Safe: the port is declared in `ExposedPorts`. Asks where the Service has an external address already, because the
    /// port could then be reached from outside; and where no port is written, there is nothing to declare yet.
    id: "network-sibling-without-service",
    codes: &["NET-001"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.hostport-exposes"],
    source: "seed, Network (contradiction C8); K8S-BP modulecomms; agent `KubernetesServiceMapper.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    // What edgeHub must offer is known (HUB-001), and edgeAgent offers nothing (MON-001).
    if module.is_system() {
        return Verdict::NotApplicable;
    }
    let service = Service::of(module);
    let mut ports: BTreeMap<Option<u16>, Vec<&Call<'_>>> = BTreeMap::new();
    for call in context.calls.to(module) {
        ports.entry(call.address.port).or_default().push(call);
    }
    // Who calls without a port means one that others spell out.
    if let Some(anywhere) = ports.remove(&None) {
        let first = ports.keys().next().copied().flatten();
        ports.entry(first).or_default().extend(anywhere);
    }
    Verdict::each(ports, |(port, calls)| {
        let reached = match port {
            None => service.unclear || !service.ports.is_empty(),
            // A call to the container's port of a mapping is rule NET-002's.
            Some(port) => service.may_listen(port) || service.ports.iter().any(|other| other.target == port),
        };
        (!reached).then(|| finding(module, &service, port, &calls)).flatten()
    })
}

fn finding(module: Module<'_>, service: &Service<'_>, port: Option<u16>, calls: &[&Call<'_>]) -> Option<Finding> {
    let (first, more) = calls.split_first()?;
    let (id, caller) = (module.id(), first.caller.id());
    let at_port = port.map(|port| format!(" at port {port}")).unwrap_or_default();
    let (what, label, own, reason) = if service.ports.is_empty() {
        let reason = format!("the name `{}` does not resolve there, so every call fails", object_name(id));
        ("has no Service on Kubernetes", "resolves on Docker only", "declares no port", reason)
    } else {
        let reason = "a Service passes on only the ports that are declared, so every call fails".to_owned();
        ("does not declare that port", "reachable on Docker only", "has a Service without this port", reason)
    };
    let finding = Finding::new(Severity::Block, format!("`{caller}` calls `{id}`{at_port}, but `{id}` {what}"))
        .at(first.span(), label)
        .related(module.entry().key_span(), own)
        .because(reason)
        .fix(declare(module, service, port, first.address.scheme));
    Some(more.iter().fold(finding, |finding, call| finding.related(call.span(), "called here too")))
}

fn declare(module: Module<'_>, service: &Service<'_>, port: Option<u16>, scheme: Option<&str>) -> Fix {
    let id = module.id();
    let Some(port) = port else {
        return Fix::advice(format!("declare the port on which `{id}` listens in its `ExposedPorts`"));
    };
    declare_port(module, service, &format!("{port}/{}", if scheme == Some("udp") { "udp" } else { "tcp" }))
}
