use std::collections::BTreeSet;

use super::{device_port, reserved_port};
use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::{Container, PublishedPort};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Reserved port that a container holds
    ///
    /// A container that runs holds a port that is not for it, whether its module is in the deployment or not:
    ///
    /// * On the way to Kubernetes: a port of the device's (31000, 31001) as its port of the host, or a port of the sidecar (35000, 35001; 8080 too
    ///   with an agent before beta13) as its own. Where the deployment says so itself, `network-device-port` and
    ///   `network-reserved-port` report it.
    /// * On Docker: a port of the host that the deployment gives to another module, above all to edgeHub (443, 5671, 8883). Of two
    ///   containers the one that comes second does not start.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "viewer": { "status": "running",
    ///   "ports": [{ "container": 80, "protocol": "tcp", "host": 31000, "answers": true }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "viewer": { "status": "running",
    ///   "ports": [{ "container": 80, "protocol": "tcp", "host": 8080, "answers": true }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: another port, or no longer the container.
    id: "network-port-taken",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Engine],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["proxy.reserved-ports"],
    source: "migration rules NET-006 to NET-008, HUB-001; IE-ERR \"IoT Edge hub fails to start\"; Docker `NetworkSettings.Ports` of the container",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    if context.target.platform.has_docker() {
        return of_host(sighting);
    }
    let ports = sighting.container.filter(|container| container.is_running()).map(|container| &container.ports);
    let Some(ports) = ports.filter(|ports| !ports.is_empty()) else { return Verdict::NotApplicable };
    // A container's port may lead to several of the host's.
    let mut findings: Vec<Finding> =
        ports.iter().filter_map(|port| of_device(sighting.id, sighting.declared, port)).collect();
    let tcp = ports.iter().filter(|port| port.protocol == "tcp").map(|port| port.container);
    let own: BTreeSet<u16> = tcp.filter(|port| reserved_port::is_reserved(*port, context)).collect();
    findings.extend(own.into_iter().filter_map(|port| of_sidecar(sighting.id, sighting.declared, port)));
    Verdict::Judged(findings)
}

fn of_device(id: &str, declared: Option<Module<'_>>, port: &PublishedPort) -> Option<Finding> {
    let (number, owner) = device_port::RESERVED.iter().find(|(number, _)| *number == port.host)?;
    let is_said = declared.is_some_and(|module| module.port_bindings().iter().any(|bound| bound.host == Some(*number)));
    (!is_said).then(|| {
        let message = format!("`{id}` holds port {number} of the host, which the device keeps for itself");
        Finding::new(Severity::Warn, message)
            .because(format!("it is the port of the {owner}; where the two meet one of them is not reached"))
            .fix(Fix::advice("give the module another host port before it moves"))
    })
}

fn of_sidecar(id: &str, declared: Option<Module<'_>>, port: u16) -> Option<Finding> {
    let is_said = declared.is_some_and(|module| reserved_port::names(module, port));
    (!is_said).then(|| {
        Finding::new(Severity::Block, format!("`{id}` listens on {port}, a port of the sidecar"))
            .because("in its pod the sidecar of IoT Edge is there first, so the module cannot open the port")
            .fix(Fix::advice(
                "let the module listen on another port before it moves; it may keep the number as its host port",
            ))
    })
}

/// Ports of the host that the module is to have and another container has.
fn of_host(sighting: &Sighting<'_>) -> Verdict {
    let (Some(module), Some(engine)) = (sighting.declared.filter(|module| !module.is_stopped()), sighting.engine)
    else {
        return Verdict::NotApplicable;
    };
    let bindings = module.port_bindings();
    Verdict::each(&bindings, |binding| {
        let host = binding.host?;
        let holds = |container: &Container| {
            let mut ports = container.ports.iter();
            container.is_running() && ports.any(|port| port.host == host && port.protocol == binding.protocol.word())
        };
        let mut others = engine.containers.iter().filter(|(id, _)| *id != sighting.id);
        let (holder, _) = others.find(|(_, container)| holds(container))?;
        let message = format!("port {host} of the host, which `{}` is to have, is held by `{holder}`", sighting.id);
        Some(
            Finding::new(Severity::Block, message)
                .at(binding.at.key_span(), format!("held by `{holder}`"))
                .because("a port of the host leads to one container; the one that comes second does not start")
                .fix(Fix::advice("give one of the two another host port, or remove the container that is there")),
        )
    })
}
