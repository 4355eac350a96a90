use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{HUB_PORTS, Service};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # edgeHub mapped to other ports
    ///
    /// Modules connect to `edgehub` at 8883, 5671 and 443. On Docker a mapping such as `443` to `8443` concerns only who
    /// connects from outside. On Kubernetes the Service listens on the **host port**: the modules of that protocol find nobody
    /// at 443.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///     "HostConfig": { "PortBindings": { "443/tcp": [{ "HostPort": "8443" }] } } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///     "HostConfig": { "PortBindings": { "443/tcp": [{ "HostPort": "443" }] } } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the host port becomes the container's port. The Service has an address of its own, so the number is free, whatever
    /// else uses it on the device. Devices outside that connect at the old number must follow.
    id: "hub-mapped-port",
    codes: &["HUB-002"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.peers-use-mapped-port"],
    source: "agent `KubernetesServiceMapper.cs`; seed, Network",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if !(module.is_system() && module.id() == "edgeHub") {
        return Verdict::NotApplicable;
    }
    let service = Service::of(module);
    let bound = service.ports.iter().filter(|port| HUB_PORTS.contains(&port.target) && port.host_at.is_some());
    Verdict::each(bound, |port| {
        let (host, target) = (port.host_at?, port.target);
        (!service.may_listen(target)).then(|| {
            Finding::new(Severity::Block, format!("edgeHub listens on {} in place of {target}", port.number))
                .at(host.span(), format!("modules call it at {target}"))
                .because("the Service listens on the host port, so modules of this protocol do not find edgeHub")
                .fix(Fix::safe(format!("map {target} to itself")).set(host.path(), target.to_string()))
        })
    })
}
