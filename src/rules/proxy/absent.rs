use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::evidence::Proxy;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;

rule! {
    /// # Proxy that is declared and not in force
    ///
    /// The deployment gives the module a web proxy, and the module that runs has none in its variables, or another one. Whether a proxy
    /// that is there lets it through is what `proxy-blocked` says.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "uploader": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } }, "settings": { "image": "uploader:1" } } } } } } },
    ///   "engine": { "containers": { "uploader": { "status": "running" } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "uploader": {
    ///     "env": { "https_proxy": { "value": "http://proxy.example:3128" } }, "settings": { "image": "uploader:1" } } } } } } },
    ///   "engine": { "containers": { "uploader": { "status": "running", "proxies": [
    ///     { "variable": "https_proxy", "address": "proxy.example:3128", "answer": "connects" }] } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: change the module in the deployment, so that its container is made anew.
    id: "proxy-absent",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Inside, Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "variables of the container, or of the process that looks; migration rules §5",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let Some(seen) = sighting.proxies().filter(|_| sighting.may_run()) else { return Verdict::NotApplicable };
    let env = sighting.declared.map(Module::env).unwrap_or_default();
    let declared = env.iter().filter(|var| var.is_proxy() && !has_placeholder(var.value));
    Verdict::each(declared, |var| {
        let in_force = seen.iter().find(|proxy| proxy.variable.eq_ignore_ascii_case(var.name));
        let label = match in_force {
            Some(proxy) if is_same(proxy, var.value) => return None,
            Some(proxy) => format!("in force: {}", proxy.address),
            None => "in force: none".to_owned(),
        };
        let message = format!("`{}` runs without the proxy that `{}` declares", sighting.id, var.name);
        Some(
            Finding::new(Severity::Silent, message)
                .at(var.name_span(), label)
                .because(
                    "the container is from another deployment; what it sends takes another way than the site allows",
                )
                .fix(Fix::advice("change the module in the deployment, so that its container is made anew")),
        )
    })
}

/// Whether `value` names the host of `proxy`; the port may be left out where the scheme says it.
fn is_same(proxy: &Proxy, value: &str) -> bool {
    let address =
        proxy.address.strip_suffix(":80").or_else(|| proxy.address.strip_suffix(":443")).unwrap_or(&proxy.address);
    value.contains(address)
}
