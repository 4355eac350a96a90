use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

/// The variable of edgeHub that chooses how it talks to IoT Hub.
const VARIABLE: &str = "UpstreamProtocol";

rule! {
    /// # edgeHub behind a proxy without WebSockets
    ///
    /// A web proxy passes HTTP, and MQTT or AMQP only inside of WebSockets. edgeHub talks AMQP on its own port unless
    /// `UpstreamProtocol` says otherwise, so behind a proxy it does not reach IoT Hub, unless that proxy lets AMQP through:
    /// modules show as running and no message arrives. On Docker edgeAgent hands its own `UpstreamProtocol` down to
    /// edgeHub; on Kubernetes it does not.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" }, "no_proxy": { "value": "localhost" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": {
    ///       "https_proxy": { "value": "http://proxy.example:3128" },
    ///       "no_proxy": { "value": "localhost" },
    ///       "UpstreamProtocol": { "value": "AmqpWs" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe where nothing is chosen: `AmqpWs`. Asks before it changes `Amqp` or `Mqtt` that somebody wrote, because the proxy may
    /// let them through.
    id: "proxy-upstream-protocol",
    codes: &["PRX-003"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["proxy.docker-env"],
    source: "seed, Web proxy; ASE-TS; IE-PROD; iotedge `doc/EnvironmentVariables.md`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    let proxy = env.iter().find(|var| var.is_proxy()).filter(|_| module.is_system() && module.id() == "edgeHub");
    // Where it stands twice the later wins.
    let chosen = env.iter().rfind(|var| var.name == VARIABLE && !var.value.trim().is_empty());
    Verdict::each(proxy, |proxy| {
        let finding = Finding::new(Severity::Warn, "edgeHub has a proxy and does not talk through WebSockets").because(
            "a proxy that lets no other protocol through keeps it from IoT Hub: modules run, no message arrives",
        );
        let Some(chosen) = chosen else {
            let fix = Fix::safe(format!("set `{VARIABLE}` to `AmqpWs`"));
            let path = module.entry().path().key("env").key(VARIABLE).key("value");
            return Some(finding.at(proxy.name_span, "but no `UpstreamProtocol`").fix(fix.set(path, "AmqpWs")));
        };
        let protocol = chosen.value.trim();
        let passes = ["AmqpWs", "MqttWs"].iter().any(|known| known.eq_ignore_ascii_case(protocol));
        if passes || has_placeholder(protocol) {
            return None;
        }
        let with = if protocol.to_ascii_lowercase().starts_with("mqtt") { "MqttWs" } else { "AmqpWs" };
        let (path, value) = chosen.with_value(with);
        let fix = Fix::ask(format!("set `{VARIABLE}` to `{with}`, unless the proxy lets `{protocol}` through"));
        let finding = finding.at(chosen.value_span(), "not through WebSockets").related(proxy.name_span, "the proxy");
        Some(finding.fix(fix.set(path, value)))
    })
}
