use core::net::Ipv4Addr;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::GATEWAY;
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::Span;

/// The ports at which edgeHub talks MQTT and AMQP. 443 is everybody's.
const HUB_PORTS: [u16; 2] = [8883, 5671];

rule! {
    /// # edgeHub by the address of the device
    ///
    /// A module learns from `IOTEDGE_GATEWAYHOSTNAME` where edgeHub is. On Docker that is the host name of the device.
    /// On Kubernetes it is `edgehub`, and the agent says so **after** the module's own variables: of two the later
    /// wins, so a value of your own is without effect. (In edgeHub and edgeAgent the agent does not set it, and nothing
    /// is reported.)
    ///
    /// An address of numbers with port 8883 or 5671 looks like edgeHub on the old device, and is reported for
    /// information: the new device has others, and edgeHub has one of its own on it.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["IOTEDGE_GATEWAYHOSTNAME=ase-plant-7"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing: the agent knows where edgeHub is. A program that wants an address gets the name of the Service.
    ///
    /// ```json,passes
    /// { "Env": ["BROKER=mqtts://edgehub:8883"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the variable. An address is left to you: it may well be another broker.
    id: "network-gateway-override",
    codes: &["NET-014"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `KubernetesDeploymentMapper.cs` (CollectModuleEnv) against `CreateOrUpdateCommand.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.is_system() {
        return Verdict::NotApplicable;
    }
    let overrides = module.env().into_iter().filter(|var| var.name == GATEWAY).map(|var| {
        let finding = Finding::new(Severity::Warn, format!("`{GATEWAY}` is set by the agent, and its value wins"))
            .at(var.name_span(), "without effect")
            .because("the module is told `edgehub`, whatever stands here");
        Some(finding.fix(Fix::ask("remove it").remove(var.path())))
    });
    let arguments = module.arguments();
    let addresses = arguments.iter().flat_map(|argument| {
        argument.ipv4().into_iter().filter_map(|(address, range, port)| Some((address, port?, argument.part(range))))
    });
    let addresses = addresses.map(|(address, port, span)| by_number(address, port, span));
    Verdict::each(overrides.chain(addresses), |judged| judged)
}

fn by_number(address: Ipv4Addr, port: u16, span: Span) -> Option<Finding> {
    let elsewhere = !address.is_loopback() && !address.is_unspecified();
    (elsewhere && HUB_PORTS.contains(&port)).then(|| {
        Finding::new(Severity::Info, format!("port {port} of {address} may be edgeHub on the old device"))
            .at(span, "an address of numbers")
            .because("on the new device edgeHub is called `edgehub` by modules, and has an address of its own outside")
            .fix(Fix::advice("if it is edgeHub, call it `edgehub`; modules that use an SDK need no address at all"))
    })
}
