use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Call, Service, ServicePort};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Call to the container's port of a mapping
    ///
    /// Where a port is mapped to another one (`"80/tcp": [{ "HostPort": "8080" }]`), modules on Docker call each other at
    /// the container's port, 80. On Kubernetes the Service listens on the **`HostPort`**, 8080, and hands over to 80: a
    /// call to 80 finds nobody.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "camera": { "env": { "SCORER": { "value": "http://scorer:80/image" } }, "settings": { "image": "camera:1" } },
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": {
    ///     "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] } } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "camera": { "env": { "SCORER": { "value": "http://scorer:8080/image" } }, "settings": { "image": "camera:1" } },
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": {
    ///     "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "8080" }] } } } } }
    /// } } } } }
    /// ```
    ///
    /// Or map the port to itself, or declare it in `ExposedPorts` besides: then both platforms take the same address.
    ///
    /// ## Fix
    ///
    /// Safe: the caller's address gets the host port.
    id: "network-mapped-port",
    codes: &["NET-002"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.peers-use-mapped-port"],
    source: "seed, Network; K8S-TR Service",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    // A mapping of edgeHub concerns every module at once: HUB-002.
    let calls = context.calls.by(module).filter(|call| !call.callee.is_system() && call.address.port.is_some());
    Verdict::each(calls, |call| {
        let port = call.address.port?;
        let service = Service::of(call.callee);
        let mapped = service.ports.iter().find(|mapped| mapped.target == port)?;
        (!service.may_listen(port)).then(|| finding(call, port, mapped))
    })
}

fn finding(call: &Call<'_>, port: u16, mapped: &ServicePort<'_>) -> Finding {
    let (id, number) = (call.callee.id(), mapped.number);
    let span = call.address.port_range.clone().map_or(call.span(), |range| call.argument.part(range));
    let finding =
        Finding::new(Severity::Block, format!("`{id}` is called at {port}, but on Kubernetes it listens on {number}"))
            .at(span, "the container's port, for Docker only")
            .because(format!(
                "its Service listens on the host port and hands over to {port}; nobody answers at {port} itself"
            ))
            .fix(call_at(call, number));
    match mapped.host_at {
        Some(host) => finding.related(host.span(), "mapped here"),
        None => finding,
    }
}

fn call_at(call: &Call<'_>, number: u16) -> Fix {
    let fix = Fix::safe(format!("call `{}` at port {number}", call.callee.id()));
    let end = call.address.host_range.end;
    match &call.address.port_range {
        Some(range) => call.argument.replaced(fix, range.clone(), &number.to_string()),
        None => call.argument.replaced(fix, end..end, &format!(":{number}")),
    }
}
