use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Service, ServiceKind};
use crate::manifest::{Module, Route};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Gateway that gets another address
    ///
    /// Devices that use IoT Edge as their gateway connect to edgeHub at the address of the FPGA device. On the GPU
    /// device edgeHub has an **external address of its own**, out of the range of "Kubernetes external service IPs",
    /// and gets it when its Service is made. Devices, and certificates that name the old host, must follow it, so it
    /// had better be fixed.
    ///
    /// It is a warning where a route takes messages of devices (`NOT IS_DEFINED($connectionModuleId)`), and information
    /// otherwise: most deployments bind edgeHub's ports and never meet a device outside. A warning too where such a
    /// route is there and edgeHub has no address outside at all.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "systemModules": {
    ///     "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///       "HostConfig": { "PortBindings": { "8883/tcp": [{ "HostPort": "8883" }] } } } } } } } },
    ///   "$edgeHub": { "properties.desired": { "routes": {
    ///     "devices": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream" } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": {
    ///   "$edgeAgent": { "properties.desired": { "systemModules": {
    ///     "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1", "createOptions": {
    ///       "HostConfig": { "PortBindings": { "8883/tcp": [{ "HostPort": "8883" }] } },
    ///       "k8s-experimental": { "serviceOptions": { "type": "LoadBalancer", "loadBalancerIP": "10.4.0.30" } }
    ///     } } } } } },
    ///   "$edgeHub": { "properties.desired": { "routes": {
    ///     "devices": "FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) INTO $upstream" } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: the address is yours to choose, out of the range that the device was given.
    id: "network-gateway-address",
    codes: &["NET-015"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "ASE-PS, sample of `kubectl get svc`; ASE-TS \"Configure static IPs\"; ASE-MOVE",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if !(module.is_system() && module.id() == "edgeHub") || module.entry().get("settings").is_none() {
        return Verdict::NotApplicable;
    }
    let routes = module.manifest().routes();
    let devices = routes.iter().find(|route| route.takes_from_devices());
    let service = Service::of(module);
    let fixed = module.option(&["k8s-experimental", "serviceOptions", "loadBalancerIP"]);
    let outside = service.kind != ServiceKind::ClusterIp && (!service.ports.is_empty() || service.unclear);
    Verdict::from(match (outside, fixed, devices) {
        (true, None, devices) if !service.ports.is_empty() => Some(moves(module, devices)),
        (false, _, Some(route)) if !service.unclear => Some(unreachable(module, route)),
        _ => None,
    })
}

fn moves(module: Module<'_>, devices: Option<&Route<'_>>) -> Finding {
    let at = module.option(&["HostConfig", "PortBindings"]).map_or(module.entry().key_span(), At::key_span);
    let severity = if devices.is_some() { Severity::Warn } else { Severity::Info };
    let finding = Finding::new(severity, "edgeHub gets an external address of its own")
        .at(at, "no longer the address of the device")
        .because("devices that use edgeHub as their gateway do not find it at the address of the old device")
        .fix(Fix::advice(
            "if devices connect from outside, fix the address by `k8s-experimental.serviceOptions.loadBalancerIP` and let them follow",
        ));
    match devices {
        Some(route) => finding.related(route.at.key_span(), "takes messages of devices"),
        None => finding,
    }
}

fn unreachable(module: Module<'_>, route: &Route<'_>) -> Finding {
    Finding::new(Severity::Warn, "a route takes messages of devices, and edgeHub has no external address")
        .at(module.entry().key_span(), "reached by modules only")
        .related(route.at.key_span(), "takes messages of devices")
        .because("devices outside the cluster cannot connect to edgeHub")
        .fix(Fix::advice("bind the ports that the devices use in `PortBindings`, each to its own number"))
}
