use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{EnvVar, Manifest, Module};
use crate::target::Platform;

/// The two switches, both of which must be on.
const SWITCHES: [&str; 2] = ["experimentalfeatures__enabled", "experimentalfeatures__enablek8sextensions"];

rule! {
    /// # `k8s-experimental` switched off
    ///
    /// The agent reads `k8s-experimental` only while `ExperimentalFeatures__Enabled` and
    /// `ExperimentalFeatures__EnableK8SExtensions` are both true. On the device they are, as long as nobody says
    /// otherwise. With one of them false, limits, GPUs, volumes, strategies and Service options of all modules are
    /// dropped without an error.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeAgent": {
    ///     "env": { "ExperimentalFeatures__EnableK8SExtensions": { "value": "false" } },
    ///     "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:1.1" } } },
    ///   "modules": { "scorer": { "settings": { "image": "s:1", "createOptions": {
    ///     "k8s-experimental": { "resources": { "limits": { "memory": "128Mi" } } } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": {
    ///   "systemModules": { "edgeAgent": { "settings": { "image": "mcr.microsoft.com/azureiotedge-agent:1.1" } } },
    ///   "modules": { "scorer": { "settings": { "image": "s:1", "createOptions": {
    ///     "k8s-experimental": { "resources": { "limits": { "memory": "128Mi" } } } } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: the switch is set to true. Other experimental features may hang on the first of them.
    id: "resources-extensions-off",
    codes: &["RES-005"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits"],
    source: "K8S-CO; helm `values.yaml`",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, _: &Context<'_>) -> Verdict {
    let used: Vec<_> = manifest.modules().filter_map(|module| module.option(&["k8s-experimental"])).collect();
    let Some(first) = used.first() else { return Verdict::NotApplicable };
    let switches = manifest.module("edgeAgent").into_iter().flat_map(Module::env);
    let off = switches.filter(is_off).map(|switch| {
        let (path, value) = switch.with_value("true");
        Finding::new(Severity::Silent, format!("`{}` switches `k8s-experimental` off", switch.name))
            .at(switch.value_span(), "must be true")
            .related(first.key_span(), "not read, like all of its kind")
            .because("limits, GPUs, volumes and the like are dropped for all modules, without an error")
            .fix(Fix::ask("switch it on").set(path, value))
    });
    Verdict::Judged(off.collect())
}

/// Whether `variable` is one of the switches, and false. `:` stands for `__`, as .NET has it (ENV-001 reports that).
fn is_off(variable: &EnvVar<'_>) -> bool {
    let name = variable.name.replace(':', "__").to_ascii_lowercase();
    SWITCHES.contains(&name.as_str()) && variable.value.trim().eq_ignore_ascii_case("false")
}
