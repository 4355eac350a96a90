use core::net::Ipv4Addr;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Argument, Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Span};

/// Where a module may ask for an address of its Service.
const OWN_ADDRESS: [&str; 3] = ["k8s-experimental", "serviceOptions", "loadBalancerIP"];

rule! {
    /// # Address that the cluster uses itself
    ///
    /// As it is delivered, the device's Kubernetes has 172.27.0.0/16 for pods and 172.28.0.0/16 for Services, with
    /// 172.28.0.1 for itself and 172.28.0.10 for its DNS. Nothing else on the site may have an address in there: what a
    /// module sends to it stays in the cluster.
    ///
    /// The subnets can be changed (`Set-HcsKubeClusterNetworkInfo`), but only before compute is configured. If yours
    /// were, suppress this rule.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["PLC_URL=opc.tcp://172.28.4.20:4840"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// An address outside of the two, or the name of a module:
    ///
    /// ```json,passes
    /// { "Env": ["PLC_URL=opc.tcp://10.4.0.20:4840", "no_proxy=localhost,172.28.0.1,172.27.0.0/16"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: which of the two networks moves is for the site to decide. `no_proxy` may name these addresses, and
    /// networks (`172.28.0.0/16`) are not taken for addresses.
    id: "network-cluster-address",
    codes: &["NET-009"],
    severity: Severity::Warn,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "ASE-RN2101 #11; ASE-NETCFG; ASE-PS",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let own = module.option(&OWN_ADDRESS).and_then(asked);
    let called = module.arguments();
    let called = called.iter().filter(|argument| !is_exception(argument)).flat_map(|argument| {
        argument.ipv4().into_iter().map(|(address, range, _)| (address, argument.part(range), false))
    });
    Verdict::each(own.into_iter().chain(called), |(address, span, own)| {
        let owner = owner(address)?;
        let (message, reason, way_out) = if own {
            (
                format!("the Service of the module is to have {address}, which the cluster uses itself"),
                "the Service does not get the address, or takes it from the cluster",
                "take an address out of the device's range of external addresses",
            )
        } else {
            (
                format!("the module names {address}, which the cluster uses itself"),
                "what the module sends there stays in the cluster, and a machine of the site with this address is not reached",
                "call a module by its name, or give the machine an address outside of 172.27.0.0/16 and 172.28.0.0/16",
            )
        };
        let finding = Finding::new(Severity::Warn, message).at(span, owner).because(reason);
        Some(finding.fix(Fix::advice(way_out)))
    })
}

fn asked(at: At<'_>) -> Option<(Ipv4Addr, Span, bool)> {
    let text = at.as_str().filter(|text| !has_placeholder(text))?;
    Some((text.trim().parse().ok()?, at.span(), true))
}

/// Hosts that are not to go through a proxy may well be in the cluster.
fn is_exception(argument: &Argument<'_>) -> bool {
    argument.name.is_some_and(|name| name.eq_ignore_ascii_case("no_proxy"))
}

/// Whose `address` is, in the configuration that devices come with.
pub(crate) fn owner(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [172, 28, 0, 1] => Some("address of Kubernetes itself"),
        [172, 28, 0, 10] => Some("address of the cluster's DNS"),
        [172, 28, ..] => Some("among the addresses of Services"),
        [172, 27, ..] => Some("among the addresses of pods"),
        _ => None,
    }
}
