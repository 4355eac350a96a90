use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, is_given};
use crate::target::Platform;

/// Options of `HostConfig` that the agent drops, and what follows.
const IGNORED: [(&str, &str); 9] = [
    ("CapAdd", "the module lacks these capabilities, and what needs them fails"),
    ("CapDrop", "the module keeps capabilities that it is meant to lack"),
    ("SecurityOpt", "the module runs under the cluster's own security profile"),
    ("ReadonlyRootfs", "the module can write to its root file system"),
    ("Sysctls", "the module runs with the kernel settings of the node"),
    ("Ulimits", "the module runs with the limits of the node"),
    ("Init", "no init process reaps the children of the module's first process"),
    ("GroupAdd", "the module is not in these groups, and files and devices of theirs are closed to it"),
    ("OomScoreAdj", "the order in which the node kills processes for want of memory is Kubernetes' own"),
];

rule! {
    /// # Process option that is not translated
    ///
    /// Of the options that shape a container's process and its rights, the agent translates only `Privileged`.
    /// Capabilities, security profiles, a read-only root, kernel settings, limits, groups and the init process are
    /// dropped without a word: the module runs, with other rights than it is meant to have.
    /// `k8s-experimental.securityContext` is the *pod's* context, which knows no capabilities. Groups it knows, by number,
    /// in `supplementalGroups`.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "CapAdd": ["SYS_NICE"], "ReadonlyRootfs": true } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A module that needs no more than others have; as a last resort `Privileged`, which gives it everything. (With it,
    /// `CapAdd` is not reported: nothing is missing. `GroupAdd` is for information then, unless a user is set.)
    ///
    /// ```json,passes
    /// { "HostConfig": { "Privileged": true, "CapAdd": ["SYS_NICE"], "ReadonlyRootfs": false } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None: what replaces an option is yours to decide.
    id: "options-untranslated",
    codes: &["OPT-004"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent, HostConfig model against its mappers; K8S-TR",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let privileged = module.is_privileged();
    let user = module.option(&["User"]).or(module.option(&["k8s-experimental", "securityContext", "runAsUser"]));
    let there = IGNORED.iter().filter_map(|(key, reason)| Some((module.option(&["HostConfig", key])?, *key, *reason)));
    Verdict::each(there, |(at, key, reason)| {
        let harmless = !is_given(at) || (key == "CapAdd" && privileged);
        (!harmless).then(|| {
            let way_out = match key {
                "CapAdd" => {
                    "do without them, or set `Privileged` to true as a last resort, which gives the module every right"
                }
                "GroupAdd" => "give the numbers of the groups in `k8s-experimental.securityContext.supplementalGroups`",
                _ => "make sure that the module does without it",
            };
            let (severity, reason) = match key {
                // An image may name a user of its own, which no manifest shows.
                "GroupAdd" if privileged && user.is_none() => (
                    Severity::Info,
                    "the module is privileged, and as root, unless its image names a user, needs no group",
                ),
                _ => (Severity::Silent, reason),
            };
            Finding::new(severity, format!("`{key}` has no effect on Kubernetes"))
                .at(at.key_span(), "not translated")
                .because(reason)
                .fix(Fix::advice(way_out))
        })
    })
}
