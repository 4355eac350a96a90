use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Service, ServicePort};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::At;

/// The ports that the device keeps for itself, and for what.
pub(super) const RESERVED: [(u16, &str); 2] = [(31000, "Kubernetes dashboard"), (31001, "Edge container registry")];

rule! {
    /// # Port of the device
    ///
    /// The device keeps ports 31000 (Kubernetes dashboard) and 31001 (Edge container registry) for itself, and its
    /// release notes ask that nothing else uses them. They are node ports; the agent gives a module's Service its
    /// number at an address of the Service's own, so a clash is not certain. Another number costs nothing.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "31000" }] } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "5000" }] } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and maps the container's port to itself: who calls at the old number must follow. Where the container
    /// itself listens there, only the module can change that.
    id: "network-device-port",
    codes: &["NET-008"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "ASE-RN2101 #11 to ASE-RN2607 #11",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    // One finding for a port that is both exposed and bound.
    let service = Service::of(module);
    Verdict::each(service.listening().into_values(), |port| {
        let (_, owner) = RESERVED.iter().find(|(number, _)| *number == port.number)?;
        Some(finding(port, owner))
    })
}

fn finding(port: &ServicePort<'_>, owner: &str) -> Finding {
    let (number, target) = (port.number, port.target);
    let span = port.host_at.map_or(port.at.key_span(), At::span);
    let finding =
        Finding::new(Severity::Warn, format!("the module offers port {number}, which the device keeps for itself"))
            .at(span, format!("port of the {owner}"))
            .because("the release notes reserve the number, and where the two meet one of them is not reached");
    match port.host_at {
        Some(host) if target != number => finding.fix(
            Fix::ask(format!("map {target} to itself, and let callers follow")).set(host.path(), target.to_string()),
        ),
        _ => finding.fix(Fix::advice("let the module listen on another port, or map it to another host port")),
    }
}
