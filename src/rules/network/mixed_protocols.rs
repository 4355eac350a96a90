use std::collections::BTreeSet;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{SERVICE_TYPE, Service, ServiceKind, ServicePort};
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # TCP and UDP on one module
    ///
    /// A module has one Service for all its ports. Two things go wrong where they have different protocols:
    ///
    /// - The agent keeps the ports of a Service by their **number alone**. Of `53/tcp` and `53/udp` the last one stays,
    ///   and the other is gone without a word.
    /// - A Service of type `LoadBalancer`, which the device makes for `PortBindings`, must have **one protocol**. Kubernetes
    ///   refuses a mixed one, whether the numbers differ or not, and then the agent makes or updates no module at all.
    ///
    /// The migration guide and the release notes say only that TCP and UDP mappings together do not work. A Service
    /// inside the cluster does take both, if their numbers differ; that was tried on Kubernetes 1.20.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "PortBindings": {
    ///   "8554/tcp": [{ "HostPort": "8554" }],
    ///   "8000/udp": [{ "HostPort": "8000" }]
    /// } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// One protocol, or a Service that stays inside the cluster:
    ///
    /// ```json,passes
    /// {
    ///   "HostConfig": { "PortBindings": {
    ///     "8554/tcp": [{ "HostPort": "8554" }],
    ///     "8000/udp": [{ "HostPort": "8000" }]
    ///   } },
    ///   "k8s-experimental": { "serviceOptions": { "type": "ClusterIP" } }
    /// }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: `ClusterIP` heals a mixed Service, but nobody outside the device reaches the module then. Where both must be
    /// reached from outside, or both have one number, divide the ports between two modules, or add a second Service by
    /// hand with `kubectl` and MetalLB's sharing key.
    id: "network-mixed-protocols",
    codes: &["NET-003"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.tcp-udp"],
    source: "seed, Network; ASE-RN2101 #12 to ASE-RN2607 #12; agent `KubernetesServiceMapper.cs`; admission tried on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let service = Service::of(module);
    if service.ports.is_empty() {
        return Verdict::NotApplicable;
    }
    Verdict::Judged(overwritten(&service).into_iter().chain(refused(module, &service)).collect())
}

/// Ports that lose their number to another protocol.
fn overwritten(service: &Service<'_>) -> Vec<Finding> {
    let listening = service.listening();
    let mut seen = BTreeSet::new();
    let lost =
        service.ports.iter().rev().filter(|port| {
            listening[&port.number].protocol != port.protocol && seen.insert((port.number, port.protocol))
        });
    let mut findings: Vec<Finding> = lost
        .map(|port| {
            let (number, stays) = (port.number, listening[&port.number]);
            let message = format!("{} port {number} is lost to {}", upper(port), upper(stays));
            Finding::new(Severity::Silent, message)
                .at(place(port), "dropped without a word")
                .related(place(stays), "this one stays")
                .because("the agent keeps one port for each number, whatever its protocol; the last one wins")
                .fix(Fix::advice("divide TCP and UDP between two modules, or give one of them another host port"))
        })
        .collect();
    findings.reverse();
    findings
}

/// A load balancer with more than one protocol.
fn refused(module: Module<'_>, service: &Service<'_>) -> Option<Finding> {
    let listening = service.listening();
    let first = service.ports.iter().find(|port| listening[&port.number].protocol == port.protocol)?;
    let other = listening.values().find(|port| port.protocol != first.protocol)?;
    (service.kind == ServiceKind::LoadBalancer).then(|| {
        let fix = Fix::ask("keep the Service inside the cluster, where protocols may mix");
        Finding::new(Severity::Block, format!("{} and {} on one load balancer", upper(first), upper(other)))
            .at(other.at.key_span(), format!("{} here", upper(other)))
            .related(first.at.key_span(), format!("{} here", upper(first)))
            .because("Kubernetes refuses the Service, and the agent then makes or updates no module of the deployment")
            .fix(module.set_option(fix, &SERVICE_TYPE, "ClusterIP"))
    })
}

fn upper(port: &ServicePort<'_>) -> String {
    port.protocol.word().to_ascii_uppercase()
}

/// Where the number of the Service's port is written.
fn place(port: &ServicePort<'_>) -> Span {
    port.host_at.map_or(port.at.key_span(), At::span)
}
