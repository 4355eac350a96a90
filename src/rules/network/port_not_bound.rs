use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, PortBinding};
use crate::target::Platform;

rule! {
    /// # Port that does not lead to the module
    ///
    /// A port of the host that is declared for the module is not published for its container, or is published and nothing in
    /// the container listens there. On the host Docker itself takes the connection and drops it, so from outside it looks as if the
    /// module hung up.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "dashboard": { "status": "running",
    ///   "ports": [{ "container": 80, "protocol": "tcp", "host": 8080, "answers": false }] } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "dashboard": { "status": "running",
    ///   "ports": [{ "container": 80, "protocol": "tcp", "host": 8080, "answers": true }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: let the program listen on that port on all addresses, or correct the binding.
    id: "network-port-not-bound",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Engine],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `NetworkSettings.Ports` of the container; a connection to the container's port",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(container) = sighting.container.filter(|container| container.is_running()) else {
        return Verdict::NotApplicable;
    };
    let declared = sighting.declared.map(Module::port_bindings).unwrap_or_default();
    let is_published = |binding: &PortBinding<'_>, host: u16| {
        let mut ports = container.ports.iter();
        ports.any(|port| {
            port.host == host && port.container == binding.container && port.protocol == binding.protocol.word()
        })
    };
    // On the host's own network there is nothing to publish.
    let unpublished = declared.iter().filter(|_| container.network != "host").filter_map(|binding| {
        let host = binding.host.filter(|host| !is_published(binding, *host))?;
        let message = format!("port {host} of the host is declared for `{}` and not published", sighting.id);
        Some(
            Finding::new(Severity::Silent, message)
                .at(binding.at.key_span(), "not among the container's ports")
                .because("the container is from another deployment, or has a network without ports")
                .fix(Fix::advice("change the module in the deployment, so that its container is made anew")),
        )
    });
    let silent = container.ports.iter().filter(|port| port.answers == Some(false)).map(|port| {
        let message = format!(
            "nothing in `{}` listens on port {}, which port {} of the host leads to",
            sighting.id, port.container, port.host
        );
        Finding::new(Severity::Silent, message)
            .because(
                "the program listens on another port, or on 127.0.0.1 only; the engine drops what comes from outside",
            )
            .fix(Fix::advice("let the program listen on that port on all addresses, or correct the binding"))
    });
    let findings: Vec<Finding> = unpublished.chain(silent).collect();
    if declared.is_empty() && container.ports.is_empty() { Verdict::NotApplicable } else { Verdict::Judged(findings) }
}
