use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::Observed;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{HUB_PORTS, Service};
use crate::target::Platform;

rule! {
    /// # edgeHub that cannot be reached
    ///
    /// From the module that looks, the name of edgeHub leads nowhere, or it takes connections on none of its ports (8883 for MQTT, 5671 for AMQP,
    /// 443 for HTTPS and WebSockets), or not on one that the deployment declares. Without it no module can send anything, get its twin or
    /// be called.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "network": { "peers": { "edgeHub": { "host": "edgehub", "addresses": { "known": ["172.28.3.4"] },
    ///   "ports": { "443": "absent", "5671": "absent", "8883": "absent" } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "network": { "peers": { "edgeHub": { "host": "edgehub", "addresses": { "known": ["172.28.3.4"] },
    ///   "ports": { "443": { "known": null }, "5671": "absent", "8883": { "known": null } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: look why edgeHub does not run; on Kubernetes declare its ports.
    id: "hub-unreachable",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Network],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "migration rules HUB-001, HUB-002; iotedge-protocol §B1; a look by name and connections",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(peer) = sighting.peer.filter(|_| sighting.id == "edgeHub" && sighting.may_run()) else {
        return Verdict::NotApplicable;
    };
    let host = &peer.host;
    let finding = |message: String, why: &str| {
        Finding::new(Severity::Block, message)
            .because(format!("{why}; without edgeHub no module can send anything, get its twin or be called"))
            .fix(Fix::advice("look at the log and the ports of edgeHub"))
    };
    match &peer.addresses {
        Observed::Unknown(_) => return Verdict::NotApplicable,
        Observed::Absent => {
            let why = "no Service or container has that name";
            return Verdict::Judged(vec![finding(format!("the name of edgeHub, `{host}`, leads nowhere"), why)]);
        }
        Observed::Known(_) => {}
    }
    let is_closed = |port: &u16| peer.ports.get(port).is_some_and(|answer| answer.known().is_none());
    if !peer.ports.is_empty() && peer.ports.values().all(|answer| answer.known().is_none()) {
        let message = format!("edgeHub at `{host}` takes no connections");
        return Verdict::Judged(vec![finding(message, "every one of its ports refuses or does not answer")]);
    }
    let service = sighting.declared.map(Service::of);
    let declared = HUB_PORTS.into_iter().filter_map(|port| {
        let declared = service.as_ref()?.ports.iter().find(|declared| declared.number == port)?;
        Some((port, declared.at.key_span()))
    });
    let closed = declared.filter(|(port, _)| is_closed(port)).map(|(port, span)| {
        Finding::new(Severity::Silent, format!("edgeHub takes no connections on port {port}, which is declared"))
            .at(span, format!("closed at `{host}`"))
            .because("modules and devices that use it are not connected, and those that use another port are")
            .fix(Fix::advice("look whether a variable of edgeHub switches that protocol off"))
    });
    Verdict::Judged(closed.collect())
}
