use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Module, excepts, has_placeholder};
use crate::target::Platform;

/// The host at which modules find the sidecar and through it the IoT Edge daemon.
const SIDECAR: &str = "localhost";

rule! {
    /// # Proxy without `no_proxy`
    ///
    /// On Kubernetes a module gets its identity from `http://localhost:35001`, where the sidecar of its pod listens. On
    /// Docker that goes through a socket. With `https_proxy` or `http_proxy` set and no `no_proxy` for `localhost`, the call
    /// is sent to the web proxy, and the module never gets its identity.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["https_proxy=http://proxy.example:3128"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["https_proxy=http://proxy.example:3128", "no_proxy=localhost"] }
    /// ```
    ///
    /// The documentation names `localhost` only. We suggest `127.0.0.1`, `edgehub` and the names of modules that are
    /// called by HTTP as well.
    ///
    /// edgeAgent is judged like every module, because the sources name it. They contradict each other: the installation
    /// gives the first edgeAgent its proxy, and the agent compares only the images of its own Deployment, so that what the
    /// deployment says about it comes into force with its next image (`k8s-translation.md` §4 and §6; inferred).
    ///
    /// ## Fix
    ///
    /// Safe: `localhost` is added to `no_proxy`, or `no_proxy` is made where the proxy is set.
    id: "proxy-no-proxy",
    codes: &["PRX-001"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["proxy.no-proxy"],
    source: "seed, Web proxy; K8S-BP proxy",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    // One finding, however many proxy variables: one `no_proxy` serves them all.
    let proxy = env.iter().find(|var| var.is_proxy());
    let exceptions: Vec<_> = env.iter().filter(|var| var.name.eq_ignore_ascii_case("no_proxy")).collect();
    Verdict::each(proxy, |proxy| {
        let excepted = exceptions.iter().any(|var| has_placeholder(var.value) || excepts(var.value, SIDECAR));
        (!excepted).then(|| finding(module, proxy, exceptions.last().copied()))
    })
}

fn finding(module: Module<'_>, proxy: &EnvVar<'_>, exceptions: Option<&EnvVar<'_>>) -> Finding {
    let message = format!("`{}` has a proxy and no exception for `{SIDECAR}`", module.id());
    let finding = Finding::new(Severity::Block, message)
        .because("its request for an identity, to http://localhost:35001, is sent to the web proxy and fails");
    let fix = Fix::safe(format!("add `{SIDECAR}` to `no_proxy`"));
    match exceptions {
        Some(list) if !list.value.is_empty() => {
            let (path, value) = list.with_value(&format!("{},{SIDECAR}", list.value.trim_end_matches([',', ' '])));
            let finding = finding.at(list.value_span(), format!("`{SIDECAR}` is missing"));
            finding.related(proxy.name_span(), "the proxy").fix(fix.set(path, value))
        }
        Some(list) => {
            let (path, value) = list.with_value(SIDECAR);
            let finding = finding.at(list.name_span(), format!("`{SIDECAR}` is missing"));
            finding.related(proxy.name_span(), "the proxy").fix(fix.set(path, value))
        }
        None => {
            let fix = module.set_beside(fix, proxy, "no_proxy", SIDECAR);
            finding.at(proxy.name_span(), "calls to the sidecar go there too").fix(fix)
        }
    }
}
