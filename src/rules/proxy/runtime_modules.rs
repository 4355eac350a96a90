use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module};
use crate::target::Platform;

rule! {
    /// # Proxy that a runtime module lacks
    ///
    /// Behind a web proxy edgeAgent and edgeHub always need it: the one asks IoT Hub for the deployment, the other sends it
    /// the messages. A proxy in the environment of your own modules does not serve these two. (Modules that talk to
    /// edgeHub only need none themselves.)
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeHub": { "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } } },
    ///   "modules": { "uploader": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } }, "settings": { "image": "uploader:1" } } }
    /// } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeHub": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } } },
    ///   "modules": { "uploader": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } }, "settings": { "image": "uploader:1" } } }
    /// } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the proxy variables of the module that has them, `no_proxy` included, are copied. A proxy with user and
    /// password is left to you, so that they are not shown.
    id: "proxy-runtime-modules",
    codes: &["PRX-002"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: Platform::ALL,
    seed: &["proxy.docker-env"],
    source: "IE-PROXY; seed, Web proxy",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if !module.is_system() {
        return Verdict::NotApplicable;
    }
    let others = module.manifest().modules().filter(|other| other.id() != module.id());
    let with_proxy = others.map(|other| (other, other.env())).find(|(_, env)| env.iter().any(EnvVar::is_proxy));
    Verdict::each(with_proxy, |(other, env)| {
        let has = module.env().iter().any(EnvVar::is_proxy);
        (!has).then(|| finding(module, other, &env))
    })
}

fn finding(module: Module<'_>, other: Module<'_>, env: &[EnvVar<'_>]) -> Finding {
    let id = module.id();
    let finding = Finding::new(Severity::Warn, format!("`{id}` has no proxy, `{}` has one", other.id()))
        .at(module.entry().key_span(), "no `https_proxy`")
        .because("edgeAgent and edgeHub reach IoT Hub themselves, and behind a proxy only through it");
    let own = module.env();
    let wanted: Vec<_> = env
        .iter()
        .filter(|var| var.is_proxy() || var.name.eq_ignore_ascii_case("no_proxy"))
        .filter(|var| own.iter().all(|mine| mine.name != var.name || mine.value.is_empty()))
        .collect();
    let finding = wanted
        .iter()
        .filter(|var| var.is_proxy())
        .fold(finding, |finding, var| finding.related(var.name_span(), format!("`{}` of `{}`", var.name, other.id())));
    // A password is not written a second time, into an edit that is shown.
    if wanted.iter().any(|var| var.value.contains('@')) {
        return finding
            .fix(Fix::advice(format!("copy the proxy of `{}`, which has a user in it, by hand", other.id())));
    }
    let fix = Fix::safe(format!("copy the proxy of `{}`", other.id()));
    let copied = |fix: Fix, var: &&EnvVar<'_>| match own.iter().rfind(|mine| mine.name == var.name) {
        // It is there without a value.
        Some(mine) => {
            let (path, value) = mine.with_value(var.value);
            fix.set(path, value)
        }
        None => fix.set(module.entry().path().key("env").key(var.name).key("value"), var.value),
    };
    finding.fix(wanted.iter().fold(fix, copied))
}
