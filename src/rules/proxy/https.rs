use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

/// What a URL begins with that is reached by TLS.
const SCHEME: &str = "https";

rule! {
    /// # Proxy reached by https
    ///
    /// `https_proxy` names the proxy for calls to `https` addresses; the proxy itself is reached by `http`. IoT Edge's
    /// daemon and its two runtime modules should have an `http://` URL there.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": { "https_proxy": { "value": "https://proxy.example:3128" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "systemModules": {
    ///   "edgeHub": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-hub:1.1" } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: the scheme becomes `http`. The proxy may listen for that at another port.
    id: "proxy-https",
    codes: &["PRX-007"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: Platform::ALL,
    seed: &[],
    source: "IE-PROXY",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let proxies = module.env().into_iter().filter(|var| module.is_system() && var.is_proxy());
    Verdict::each(proxies, |var| {
        let scheme = var.value.split("://").next()?;
        let start = scheme.len() - scheme.trim_start().len();
        let range = start..start + SCHEME.len();
        (scheme.trim().eq_ignore_ascii_case(SCHEME) && scheme.len() < var.value.len()).then(|| {
            let message = format!("`{}` reaches its proxy by https", module.id());
            let finding = Finding::new(Severity::Warn, message)
                .at(var.value_part(range.clone()), "expected `http`")
                .because("the runtime modules are meant to reach a proxy by http, whatever they send through it");
            let fix = Fix::ask("write `http`, and look whether the proxy has another port for it");
            finding.fix(var.replaced(fix, range, "http"))
        })
    })
}
