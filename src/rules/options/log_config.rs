use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Log driver that is not translated
    ///
    /// `LogConfig` and the `loggingOptions` of the runtime choose a log driver of Docker and how it rotates its files.
    /// On Kubernetes neither is read: the container runtime of the node keeps the logs and rotates them in its own way.
    ///
    /// The guide for Live Video Analytics asks for `LogConfig` on this device all the same; it does no harm.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing. Logs are read by `iotedge logs` in the device's PowerShell interface, or by `kubectl logs`.
    ///
    /// ```json,passes
    /// { "HostConfig": { "LogConfig": {} } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes it. Keep it if the same createOptions go to a device with Docker.
    id: "options-log-config",
    codes: &["OPT-005"],
    severity: Severity::Info,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, HostConfig model against its mappers; IE-PROD; LVA",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let own = module.option(&["HostConfig", "LogConfig"]);
    // The runtime's settings are edgeAgent's.
    let is_agent = module.is_system() && module.id() == "edgeAgent";
    let settings =
        || module.manifest().section("$edgeAgent")?.property("runtime")?.get("settings")?.get("loggingOptions");
    let all = if is_agent { settings() } else { None };
    Verdict::each(own.into_iter().chain(all), |at| is_given(at).then(|| finding(at)))
}

fn finding(at: At<'_>) -> Finding {
    let key = at.key().unwrap_or_default();
    Finding::new(Severity::Info, format!("`{key}` has no effect on Kubernetes"))
        .at(at.key_span(), "not translated")
        .because("the node keeps and rotates the logs in its own way")
        .fix(Fix::ask(format!("remove `{key}`")).remove(at.path()))
}
