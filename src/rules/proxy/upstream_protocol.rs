use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module, UPSTREAM_PROTOCOL, UpstreamProtocol};
use crate::target::Platform;

rule! {
    /// # edgeHub behind a proxy without WebSockets
    ///
    /// A web proxy passes HTTP, and MQTT or AMQP only inside of WebSockets. edgeHub talks AMQP on its own port unless
    /// `UpstreamProtocol` says otherwise, so behind a proxy it does not reach IoT Hub, unless that proxy lets AMQP
    /// through: modules show as running and no message arrives. On Docker edgeAgent hands its own `UpstreamProtocol`
    /// down to edgeHub; on Kubernetes it does not.
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
    /// Safe where nothing is chosen: what edgeAgent has, if that goes through WebSockets, or `AmqpWs` where it has nothing
    /// either. Asks before it changes `Amqp` or `Mqtt` that somebody wrote for edgeHub, or for edgeAgent, from which
    /// edgeHub had it on Docker (PRX-004), because the proxy may let them through; it offers the same inside of WebSockets.
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
    Verdict::each(proxy, |proxy| {
        let Some(chosen) = module.upstream_protocol() else {
            // A name that only means it is PRX-005's.
            return (!env.iter().any(EnvVar::is_misspelt_upstream_protocol)).then(|| unchosen(module, proxy));
        };
        // So is a value that is none.
        let protocol = UpstreamProtocol::of(chosen.value).filter(|protocol| !protocol.uses_web_sockets())?;
        let (with, word) = (protocol.in_web_sockets().word(), protocol.word());
        let (path, value) = chosen.with_value(with);
        let fix = Fix::ask(format!("set `{UPSTREAM_PROTOCOL}` to `{with}`, unless the proxy lets `{word}` through"));
        let finding =
            finding().at(chosen.value_span(), "not through WebSockets").related(proxy.name_span(), "the proxy");
        Some(finding.fix(fix.set(path, value)))
    })
}

fn unchosen(module: Module<'_>, proxy: &EnvVar<'_>) -> Finding {
    // What edgeAgent hands down on Docker, if that passes the proxy.
    let agent = module.manifest().system_modules().find(|other| other.id() == "edgeAgent");
    let inherited = agent.and_then(Module::upstream_protocol);
    let inherited = inherited.and_then(|var| Some((var, UpstreamProtocol::of(var.value)?)));
    let protocol = inherited.map_or(UpstreamProtocol::AmqpWs, |(_, protocol)| protocol.in_web_sockets()).word();
    let finding = finding().at(proxy.name_span(), "but no `UpstreamProtocol`");
    let (finding, fix) = match inherited {
        Some((var, had)) if !had.uses_web_sockets() => (
            finding.related(var.name_span(), "edgeHub had this on Docker"),
            Fix::ask(format!(
                "set `{UPSTREAM_PROTOCOL}` to `{protocol}`, unless the proxy lets `{}` through",
                had.word()
            )),
        ),
        _ => (finding, Fix::safe(format!("set `{UPSTREAM_PROTOCOL}` to `{protocol}`"))),
    };
    let fix = match module.env().iter().find(|var| var.name.eq_ignore_ascii_case(UPSTREAM_PROTOCOL)) {
        // It is there without a value.
        Some(blank) => {
            let (path, value) = blank.with_value(protocol);
            fix.set(path, value)
        }
        None => fix.set(module.entry().path().key("env").key(UPSTREAM_PROTOCOL).key("value"), protocol),
    };
    finding.fix(fix)
}

fn finding() -> Finding {
    Finding::new(Severity::Warn, "edgeHub has a proxy and does not talk through WebSockets")
        .because("a proxy that lets no other protocol through keeps it from IoT Hub: modules run, no message arrives")
}
