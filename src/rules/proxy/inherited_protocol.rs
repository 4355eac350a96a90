use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module, UPSTREAM_PROTOCOL, UpstreamProtocol, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Protocol that edgeHub no longer inherits
    ///
    /// On Docker edgeAgent hands its own `UpstreamProtocol` down to every module that has none, edgeHub included. The
    /// agent on Kubernetes does not: edgeHub then talks AMQP, and where the site lets only the other protocol out, no
    /// message reaches IoT Hub although edgeAgent does.
    ///
    /// Where edgeHub has a web proxy, PRX-003 reports the missing protocol.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeAgent": {
    ///     "env": { "UpstreamProtocol": { "value": "MqttWs" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:1.1" } },
    ///   "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeAgent": {
    ///     "env": { "UpstreamProtocol": { "value": "MqttWs" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:1.1" } },
    ///   "edgeHub": {
    ///     "env": { "UpstreamProtocol": { "value": "MqttWs" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: edgeHub gets what edgeAgent has, as it had on Docker.
    id: "proxy-inherited-protocol",
    codes: &["PRX-004"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "iotedge `CreateOrUpdateCommand.cs` against `KubernetesDeploymentMapper.cs` (CollectModuleEnv)",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    // Without settings it is a layer over an edgeHub that is written elsewhere.
    if !(module.is_system() && module.id() == "edgeHub") || module.entry().get("settings").is_none() {
        return Verdict::NotApplicable;
    }
    let agent = module.manifest().system_modules().find(|other| other.id() == "edgeAgent");
    Verdict::each(agent.and_then(Module::upstream_protocol), |inherited| {
        let env = module.env();
        let chosen = env
            .iter()
            .any(|var| var.name.eq_ignore_ascii_case(UPSTREAM_PROTOCOL) || var.is_misspelt_upstream_protocol());
        if chosen || env.iter().any(EnvVar::is_proxy) || !matters(inherited.value) {
            return None;
        }
        let path = module.entry().path().key("env").key(UPSTREAM_PROTOCOL).key("value");
        let finding = Finding::new(Severity::Warn, format!("edgeAgent has `{UPSTREAM_PROTOCOL}`, edgeHub has none"))
            .at(inherited.name_span(), "not handed down on Kubernetes")
            .related(module.entry().key_span(), "talks AMQP without it")
            .because(
                "where the site lets only that protocol out, edgeHub does not reach IoT Hub, though edgeAgent does",
            );
        Some(finding.fix(Fix::safe("set it for edgeHub too").set(path, inherited.value.trim())))
    })
}

/// Whether a value makes a difference: AMQP is what edgeHub talks anyway, and what is no value counts as none
/// (PRX-005).
fn matters(value: &str) -> bool {
    has_placeholder(value) || UpstreamProtocol::of(value).is_some_and(|protocol| protocol != UpstreamProtocol::Amqp)
}
