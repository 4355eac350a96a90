use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{Service, service_variable};
use crate::manifest::{EnvVar, Module, Protocol, has_placeholder};
use crate::target::Platform;

/// Ends of names whose variable says on which host a program finds something; one that ends in `_PORT` goes with it.
const HOSTS: [&str; 6] = ["_HOST", "_HOSTNAME", "_SERVER", "_ADDRESS", "_ADDR", "_IP"];

rule! {
    /// # Variable that Kubernetes sets too
    ///
    /// Kubernetes tells every pod where each Service is, by variables: for a module `redis` they are
    /// `REDIS_SERVICE_HOST`, `REDIS_SERVICE_PORT`, and `REDIS_PORT`, which is no number but `tcp://172.28.13.7:6379`. A
    /// program that reads `REDIS_HOST` from its environment mostly reads `REDIS_PORT` too, with a default of its own;
    /// on Kubernetes it finds an address there and fails, or connects nowhere. On Docker there is no such variable.
    /// What a module sets itself wins.
    ///
    /// The rule looks at modules that set `<NAME>_HOST` (or `_SERVER`, `_ADDRESS`, …), where a module of that name has
    /// a Service, and that do not set `<NAME>_PORT`.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "env": { "REDIS_HOST": { "value": "redis" } }, "settings": { "image": "scorer:1" } },
    ///   "redis": { "settings": { "image": "redis:6", "createOptions": { "ExposedPorts": { "6379/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": {
    ///     "env": { "REDIS_HOST": { "value": "redis" }, "REDIS_PORT": { "value": "6379" } },
    ///     "settings": { "image": "scorer:1" } },
    ///   "redis": { "settings": { "image": "redis:6", "createOptions": { "ExposedPorts": { "6379/tcp": {} } } } }
    /// } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because the program may not read the variable: it is set beside the other one, to the port of the Service
    /// where that has just one.
    id: "network-service-variables",
    codes: &["NET-016"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "K8S-VAL `envvars.go`; agent `KubernetesDeploymentMapper.cs` (enableServiceLinks unset); variables seen on Kubernetes 1.20",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let env = module.env();
    let named = env.iter().filter_map(|var| {
        let prefix = HOSTS.iter().find_map(|end| var.name.strip_suffix(end))?;
        let others = module.manifest().modules().filter(|other| !has_placeholder(other.id()));
        let other = others.into_iter().find(|other| service_variable(other.id()) == prefix)?;
        let service = Service::of(other);
        (!service.ports.is_empty()).then_some((var, prefix, other, service))
    });
    Verdict::each(named, |(var, prefix, other, service)| {
        let name = format!("{prefix}_PORT");
        let set = env.iter().any(|other| other.name == name);
        (!set).then(|| finding(module, var, &name, other, &service))
    })
}

fn finding(module: Module<'_>, var: &EnvVar<'_>, name: &str, other: Module<'_>, service: &Service<'_>) -> Finding {
    let listening = service.listening();
    let mut ports = listening.values().filter(|port| port.protocol == Protocol::Tcp);
    let fix = match (ports.next(), ports.next()) {
        (Some(port), None) => {
            let number = port.number.to_string();
            module.set_beside(Fix::ask(format!("set `{name}` to {number}")), var, name, &number)
        }
        _ => Fix::advice(format!("set `{name}` to the port that the program is to use")),
    };
    Finding::new(Severity::Warn, format!("Kubernetes sets `{name}` in this module, to an address"))
        .at(var.name_span(), format!("goes with `{name}`, which is not set"))
        .related(other.entry().key_span(), "whose Service it is about")
        .because("a program that reads it as a number fails, or does not find what it is to connect to")
        .fix(fix)
}
