use std::collections::BTreeSet;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{SERVICE_TYPE, Service, ServiceKind};
use crate::manifest::{Manifest, Module};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # More Services than external addresses
    ///
    /// A module with `PortBindings` gets a Service of type `LoadBalancer`, and with it one address out of the device's
    /// "Kubernetes external service IPs": one for edgeHub and one for each such module. Where the range is too small the
    /// last ones **run without an address**. Nothing is red, and nobody outside reaches them.
    ///
    /// Needs `site.external_ips`, how many addresses the range has.
    ///
    /// ## Example
    ///
    /// With a range of one address:
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "viewer": { "env": { "SCORER": { "value": "http://scorer:5000" } }, "settings": { "image": "viewer:1",
    ///     "createOptions": { "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } } } } },
    ///   "scorer": { "settings": { "image": "scorer:1",
    ///     "createOptions": { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "5000" }] } } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A Service inside the cluster for what only other modules call:
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "viewer": { "env": { "SCORER": { "value": "http://scorer:5000" } }, "settings": { "image": "viewer:1",
    ///     "createOptions": { "HostConfig": { "PortBindings": { "80/tcp": [{ "HostPort": "80" }] } } } } },
    ///   "scorer": { "settings": { "image": "scorer:1", "createOptions": {
    ///     "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "5000" }] } },
    ///     "k8s-experimental": { "serviceOptions": { "type": "ClusterIP" } } } } }
    /// } } } } }
    /// ```
    ///
    /// Or enlarge the range in the local web interface of the device; that takes effect at once.
    ///
    /// ## Fix
    ///
    /// Asks: modules that other modules call, and that may therefore need no address, are kept inside the cluster, as many
    /// as are too many. edgeHub is left alone, devices may connect to it. Only you know who calls from outside.
    id: "network-external-address",
    codes: &["NET-010"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions, Need::ExternalIps],
    targets: &[Platform::AseK8s],
    seed: &["network.cluster-only", "network.external-ip"],
    source: "ASE-TS \"running but do not have an IP\"; ASE-COMP \"Change external service IPs\"; ASE-NETCFG",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, context: &Context<'_>) -> Verdict {
    let balanced: Vec<Module<'_>> = manifest.modules().filter(|module| needs_address(*module)).collect();
    if balanced.is_empty() {
        return Verdict::NotApplicable;
    }
    let addresses = context.site.external_ips.unwrap_or_default();
    let spare = usize::try_from(addresses).unwrap_or(usize::MAX);
    Verdict::from((balanced.len() > spare).then(|| finding(context, &balanced, spare)))
}

fn needs_address(module: Module<'_>) -> bool {
    let service = Service::of(module);
    service.kind == ServiceKind::LoadBalancer && !service.ports.is_empty()
}

fn finding(context: &Context<'_>, balanced: &[Module<'_>], addresses: usize) -> Finding {
    let there = if addresses == 1 { "1 address".to_owned() } else { format!("{addresses} addresses") };
    let message = format!("{} modules need an external address, the range has {there}", balanced.len());
    let places = balanced.iter().map(|module| {
        let map = module.option(&["HostConfig", "PortBindings"]).or_else(|| module.option(&SERVICE_TYPE));
        (module.id(), map.map_or(module.entry().key_span(), At::key_span))
    });
    let mut finding = Finding::new(Severity::Silent, message)
        .because("the ones that come last run without an address: nothing is red, and nobody outside reaches them");
    // The first one beyond the range is what stands out.
    let mut places: Vec<_> = places.collect();
    let (id, span) = places.remove(addresses.min(places.len() - 1));
    finding = finding.at(span, format!("`{id}` is one too many"));
    finding =
        places.into_iter().fold(finding, |finding, (id, span)| finding.related(span, format!("`{id}` needs one")));
    finding.fix(keep_inside(context, balanced, balanced.len() - addresses))
}

/// Moves `excess` of the modules that siblings call into the cluster, if there are so many.
fn keep_inside(context: &Context<'_>, balanced: &[Module<'_>], excess: usize) -> Fix {
    let called: BTreeSet<&str> = context.calls.all().map(|call| call.callee.id()).collect();
    let inside: Vec<_> = balanced
        .iter()
        .rev()
        .filter(|module| !module.is_system() && called.contains(module.id()))
        .take(excess)
        .collect();
    if inside.len() < excess {
        return Fix::advice(
            "enlarge the range of external addresses, or set serviceOptions.type to ClusterIP where nobody calls from outside",
        );
    }
    let names: Vec<_> = inside.iter().map(|module| format!("`{}`", module.id())).collect();
    let fix = Fix::ask(format!("keep {} inside the cluster, if only modules call there", names.join(" and ")));
    inside.into_iter().fold(fix, |fix, module| module.set_option(fix, &SERVICE_TYPE, "ClusterIP"))
}
