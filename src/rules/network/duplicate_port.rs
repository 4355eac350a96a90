use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Service, ServicePort};
use crate::manifest::{Module, Protocol};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Container port with two host ports
    ///
    /// The agent names a Service's port after the container's port: `hostport-80-tcp`. Where one container port is bound
    /// to two host ports, two ports of the Service get one name. Kubernetes refuses such a Service, and the agent then
    /// makes or updates **no module of the deployment**.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "80" }, { "HostPort": "8080" }] } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks which one to keep, and offers the one with the container's number, or else the first.
    id: "network-duplicate-port",
    codes: &["NET-004"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `PortExtensions.cs`; duplicate names tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let service = Service::of(module);
    let listening = service.listening();
    let mut bound: BTreeMap<(u16, Protocol), Vec<(&ServicePort<'_>, At<'_>)>> = BTreeMap::new();
    for port in &service.ports {
        // Of two entries for one host port the later replaces the earlier, so they do not clash.
        let stays = listening.get(&port.number).is_some_and(|last| std::ptr::eq(*last, port));
        if let Some(host) = port.host_at.filter(|_| stays) {
            bound.entry((port.target, port.protocol)).or_default().push((port, host));
        }
    }
    if bound.is_empty() {
        return Verdict::NotApplicable;
    }
    Verdict::Judged(bound.into_values().flat_map(|hosts| extra(&hosts)).collect())
}

/// Every host port of one container port but the one that is to stay.
fn extra(hosts: &[(&ServicePort<'_>, At<'_>)]) -> Vec<Finding> {
    let keep = hosts.iter().position(|(port, _)| port.number == port.target).unwrap_or(0);
    let (kept, kept_at) = hosts[keep];
    let others = hosts.iter().enumerate().filter(|(index, _)| *index != keep).map(|(_, other)| other);
    let finding = |(port, host): &(&ServicePort<'_>, At<'_>)| {
        let message = format!(
            "container port {}/{} has host port {} beside {}",
            port.target,
            port.protocol.word(),
            port.number,
            kept.number
        );
        let binding = host.parent().unwrap_or(*host);
        Finding::new(Severity::Block, message)
            .at(host.span(), "gets the same name in the Service")
            .related(kept_at.span(), "as this one")
            .because("Kubernetes refuses the Service, and the agent then makes or updates no module of the deployment")
            .fix(Fix::ask(format!("keep host port {} only", kept.number)).remove(binding.path()))
    };
    others.map(finding).collect()
}
