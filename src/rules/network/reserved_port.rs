use std::collections::BTreeMap;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Argument, Module, Protocol, port};
use crate::target::{Agent, Platform};
use crate::text::{At, Span};

/// The ports of the sidecar in every module pod: management and workload API.
const RESERVED: [u16; 2] = [35000, 35001];

/// What the sidecar of agents before beta13 held besides: an API that was given up because modules clashed with it.
const RESERVED_ONCE: u16 = 8080;

rule! {
    /// # Port of the sidecar
    ///
    /// Every module pod has a sidecar, the IoT Edge proxy, that listens on ports 35000 (management) and 35001
    /// (workload). The containers of a pod share one network, so a module that listens on either of them cannot open
    /// its port.
    ///
    /// A port that the container declares is certain. A number in an environment variable or an argument is reported
    /// milder: the module may mean something else by it.
    ///
    /// The sidecar of agents up to beta12 held port 8080 as well. Beta13 (January 2021) gave it up, so with `--agent
    /// beta12` or older 8080 is a warning; a newer agent is the other way out.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "ExposedPorts": { "35000/tcp": {} }, "Env": ["LISTEN_PORT=35000"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Another port in the container. As a `HostPort` the number is free, because the Service has its own address:
    ///
    /// ```json,passes
    /// { "HostConfig": { "PortBindings": { "5000/tcp": [{ "HostPort": "35000" }] } }, "Env": ["LISTEN_PORT=5000"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: the module itself has to be told to listen elsewhere.
    id: "network-reserved-port",
    codes: &["NET-006", "NET-007"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["proxy.reserved-ports"],
    source: "seed, Web proxy; chart `iotedged-proxy-config.yaml`; ASE-PS; iotedge commit 3f5ab034b7 for 8080",
    check: Check::Module(check),
}

/// A place that names a port on which the module listens.
struct Listener {
    span: Span,
    declared: bool,
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let mut listeners: BTreeMap<u16, Vec<Listener>> = BTreeMap::new();
    for (port, listener) in declared(module).into_iter().chain(configured(module)) {
        listeners.entry(port).or_default().push(listener);
    }
    Verdict::each(listeners, |(port, places)| {
        let (first, more) = places.split_first()?;
        is_reserved(port, context).then(|| finding(port, first, more))
    })
}

/// Whether the sidecar holds `port`.
pub(super) fn is_reserved(port: u16, context: &Context<'_>) -> bool {
    RESERVED.contains(&port) || (port == RESERVED_ONCE && context.agent < Agent::beta(13))
}

/// Whether the deployment says that `module` listens on `port`.
pub(super) fn names(module: Module<'_>, port: u16) -> bool {
    declared(module).into_iter().chain(configured(module)).any(|(number, _)| number == port)
}

fn finding(port: u16, first: &Listener, more: &[Listener]) -> Finding {
    let verb = if first.declared { "listens" } else { "seems to listen" };
    let severity = if first.declared && port != RESERVED_ONCE { Severity::Block } else { Severity::Warn };
    let way_out = if port == RESERVED_ONCE {
        "let the module listen on another port, or have an agent of beta13 or later"
    } else {
        "let the module listen on another port; it may keep the number as its host port"
    };
    let finding = Finding::new(severity, format!("the module {verb} on {port}, a port of the sidecar"))
        .at(first.span, "taken in every module pod")
        .because("the sidecar of IoT Edge shares the network of the pod and is there first, so the module cannot open the port")
        .fix(Fix::advice(way_out));
    more.iter().fold(finding, |finding, place| finding.related(place.span, "the same port"))
}

/// Container ports of `ExposedPorts` and `PortBindings`; the sidecar leaves UDP alone.
fn declared(module: Module<'_>) -> Vec<(u16, Listener)> {
    [&["ExposedPorts"] as &[&str], &["HostConfig", "PortBindings"]]
        .into_iter()
        .filter_map(|keys| module.option(keys))
        .flat_map(At::members)
        .filter_map(|member| {
            let (number, protocol) = port(member.key()?)?;
            let listener = Listener { span: member.key_span(), declared: true };
            (protocol == Protocol::Tcp).then_some((number, listener))
        })
        .collect()
}

/// Ports in environment variables and arguments.
fn configured(module: Module<'_>) -> Vec<(u16, Listener)> {
    let own = |argument: &Argument<'_>| {
        let (port, range) = argument.own_port()?;
        Some((port, Listener { span: argument.part(range), declared: false }))
    };
    module.arguments().iter().filter_map(own).collect()
}
