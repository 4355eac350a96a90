use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;
use crate::text::At;

/// An option that nobody reads, how bad that is, and what holds instead.
const IGNORED: [(&[&str], Severity, &str); 6] = [
    (&["HostConfig", "AutoRemove"], Severity::Info, "Kubernetes removes the containers of a module by itself"),
    (&["HostConfig", "RestartPolicy"], Severity::Info, "Kubernetes always starts a module again that has ended"),
    (&["StopTimeout"], Severity::Info, "a module that is stopped has as long as Kubernetes gives it to end"),
    (&["StopSignal"], Severity::Info, "a module is stopped by the signal that its image names"),
    (&["HostConfig", "UsernsMode"], Severity::Info, "the module has the users of the node"),
    (
        &["HostConfig", "VolumesFrom"],
        Severity::Silent,
        "the module does not see the other container's volumes, and runs on empty paths of its own",
    ),
];

rule! {
    /// # Option that has no meaning on Kubernetes
    ///
    /// How a container is removed, restarted and stopped is Kubernetes' own business: `AutoRemove`, `RestartPolicy`,
    /// `StopTimeout`, `StopSignal` and `UsernsMode` are dropped, and mostly nothing is lost.
    ///
    /// `VolumesFrom` is dropped as well, and there something is: the module runs without the data that it shared with
    /// another one. So that one is reported as silent.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "RestartPolicy": { "Name": "always" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// `restartPolicy` of the module entry for Docker; nothing for Kubernetes. For `VolumesFrom` a mount of the same
    /// share in both modules:
    ///
    /// ```json,passes
    /// { "HostConfig": {
    ///     "RestartPolicy": { "Name": "no" },
    ///     "Mounts": [{ "Type": "volume", "Source": "frames", "Target": "/frames" }] } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, and removes the option. For `VolumesFrom` only words help.
    id: "options-no-effect",
    codes: &["OPT-010"],
    severity: Severity::Info,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, HostConfig model against its mappers",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let there = IGNORED.iter().filter_map(|(keys, severity, reason)| Some((module.option(keys)?, *severity, *reason)));
    Verdict::each(there, |(at, severity, reason)| says_something(at).then(|| finding(at, severity, reason)))
}

/// Docker's own default of `RestartPolicy` is an object with nothing in it.
fn says_something(at: At<'_>) -> bool {
    is_given(at) && at.get_ignoring_case("Name").is_none_or(|name| is_given(name) && name.as_str() != Some("no"))
}

fn finding(at: At<'_>, severity: Severity, reason: &str) -> Finding {
    let key = at.key().unwrap_or_default();
    let fix = if severity == Severity::Info {
        Fix::ask(format!("remove `{key}`")).remove(at.path())
    } else {
        Fix::advice("mount the same share in both modules")
    };
    Finding::new(severity, format!("`{key}` has no effect on Kubernetes"))
        .at(at.key_span(), "not translated")
        .because(reason)
        .fix(fix)
}
