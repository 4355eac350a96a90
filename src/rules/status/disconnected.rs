use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::{Container, RuntimeStatus};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that runs and is not connected to edgeHub
    ///
    /// IoT Edge says `running`, and edgeHub does not have the module as a connected client: its messages go nowhere, and its
    /// twin and methods do not reach it. On the new device that is most often a port of edgeHub that has no Service, a proxy that
    /// does not let AMQP through, or a trust bundle that the module does not use. A module that never was a client may well need
    /// no edgeHub at all, which is worth a look only.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z" } },
    ///   "clients": { "scorer": { "connected": false, "since": "2025-12-31T23:00:00Z" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "states": { "scorer": { "status": "running", "since": "2026-01-01T00:00:00Z" } },
    ///   "clients": { "scorer": { "connected": true, "since": "2025-12-31T23:00:00Z" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: what keeps modules from edgeHub.
    id: "status-disconnected",
    codes: &["STS-010"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Clients],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "`$edgeHub` reported `clients`",
    check: Check::Running(check),
}

/// They are not clients of edgeHub: the one is it, the other one is connected to IoT Hub itself.
const SYSTEM: [&str; 2] = ["edgeAgent", "edgeHub"];

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let runs = sighting.container.is_some_and(Container::is_running)
        || sighting.reported.is_some_and(|state| state.status == RuntimeStatus::Running);
    let Some(clients) = sighting.clients.filter(|_| runs && !SYSTEM.contains(&sighting.id)) else {
        return Verdict::NotApplicable;
    };
    let id = sighting.id;
    let finding = match clients.get(id) {
        Some(client) if client.connected => None,
        Some(client) => {
            let since = client.since.map(|since| format!(" since {since}")).unwrap_or_default();
            let message = format!("`{id}` runs and has been disconnected from edgeHub{since}");
            let finding = Finding::new(Severity::Silent, message)
                .because("what it sends goes nowhere, and neither its twin nor its methods reach it")
                .fix(Fix::advice(
                    "look at its log, at the ports of edgeHub, at proxy and `no_proxy`, and at the trust bundle",
                ));
            Some(finding)
        }
        None => Some(
            Finding::new(Severity::Warn, format!("`{id}` runs and was never connected to edgeHub"))
                .because("a module that sends messages or has a twin is cut off; one that does neither is well")
                .fix(Fix::advice("if it is to use edgeHub, look at its log and at the ports of edgeHub")),
        ),
    };
    finding.into()
}
