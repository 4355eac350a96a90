use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::{Platform, Software};
use crate::text::At;

rule! {
    /// # Module on the host network
    ///
    /// `NetworkMode: host` is translated (`hostNetwork`, with `dnsPolicy` `ClusterFirstWithHostNet` so that the module
    /// still finds the others). But every module pod has a sidecar that listens on `localhost:35000` and `:35001`, and
    /// on the host network those ports exist once: **one module of a deployment** can be there, a second one does not
    /// come up.
    ///
    /// The sources disagree on the first one. The migration guide says that it works; the release notes of the device
    /// software 2101 to 2106 say that modules of IoT Edge cannot use the host network; those of 2203 no longer say so.
    /// Give the release (`--target ase-k8s@2103`) to have it judged.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "NetworkMode": "host" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The cluster's network, with the ports that others must reach declared.
    ///
    /// ```json,passes
    /// { "HostConfig": { "NetworkMode": "bridge", "PortBindings": { "5000/tcp": [{ "HostPort": "5000" }] } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because only you know whether the module needs the host's network, to find cameras by broadcast for
    /// instance: `NetworkMode` is removed, and `NetworkingConfig.EndpointsConfig.host` with it. Ports that the module
    /// opened on the host must then be declared in `PortBindings`.
    id: "network-host-network",
    codes: &["NET-012"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.host-network"],
    source: "seed, Network; K8S-BP hostnetwork; K8S-KI; ASE-RN2101 #17, ASE-RN2106 #17 (contradiction C3)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    Verdict::each(module.option(&["HostConfig", "NetworkMode"]), |mode| {
        is_host(mode).then(|| finding(module, mode, context))
    })
}

fn finding(module: Module<'_>, mode: At<'_>, context: &Context<'_>) -> Finding {
    let refused = context.target.software.is_some_and(|software| software <= Software::LAST_WITHOUT_HOST_NETWORK);
    let others: Vec<_> = module
        .manifest()
        .modules()
        .filter(|other| other.id() != module.id())
        .filter_map(|other| Some((other.id(), other.option(&["HostConfig", "NetworkMode"]).filter(|at| is_host(*at))?)))
        .collect();
    let (severity, reason) = if !others.is_empty() {
        let reason = "each brings a sidecar that listens on localhost:35000 and :35001, so only one of them comes up";
        (Severity::Block, reason)
    } else if refused {
        (Severity::Block, "with this device software modules of IoT Edge cannot use the host network")
    } else {
        let reason = "no second module can be there, and device software up to 2106 does not allow it at all";
        (Severity::Warn, reason)
    };
    let message = match others.as_slice() {
        [] => "the module is on the host network",
        [_, ..] => "the module is not the only one on the host network",
    };
    let finding =
        Finding::new(severity, message).at(mode.span(), "the host's network").because(reason).fix(leave(module, mode));
    others.into_iter().fold(finding, |finding, (id, at)| finding.related(at.span(), format!("`{id}` too")))
}

/// The agent compares without regard to case, Docker does not: `Host` becomes host mode by moving.
fn is_host(mode: At<'_>) -> bool {
    mode.as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("host"))
}

fn leave(module: Module<'_>, mode: At<'_>) -> Fix {
    let fix = Fix::ask("take the module off the host network").remove(mode.path());
    match module.option(&["NetworkingConfig", "EndpointsConfig", "host"]) {
        Some(endpoint) => fix.remove(endpoint.path()),
        None => fix,
    }
}
