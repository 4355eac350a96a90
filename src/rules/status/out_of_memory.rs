use crate::engine::{Check, Context, Sighting, Verdict};
use crate::evidence::Container;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that runs out of memory
    ///
    /// The kernel ended the module, because it used more memory than its limit. It is started again and ends again as soon
    /// as it needs as much; what it held in memory is lost each time. The exit code is 137, as for any other kill: the engine
    /// says which it was.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "engine": { "containers": { "scorer": { "status": "exited", "exit_code": 137, "out_of_memory": true,
    ///   "limits": { "memory": 67108864 } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "engine": { "containers": { "scorer": { "status": "running", "limits": { "memory": 268435456 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: raise the limit, or make the module need less.
    id: "status-out-of-memory",
    codes: &[],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `State.OOMKilled` and event `oom`; agent `PodExtensions.cs`; migration rules STS-004, RES-001",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let by_engine = sighting.container.is_some_and(Container::ran_out_of_memory);
    let by_twin = sighting.reported.is_some_and(|state| state.description.contains("OOMKilled"));
    if sighting.container.is_none() && sighting.reported.is_none() {
        return Verdict::NotApplicable;
    }
    let finding = (by_engine || by_twin).then(|| {
        let limit = sighting.container.and_then(|container| container.limits.memory);
        let limit =
            limit.map_or_else(|| "the memory there was".to_owned(), |bytes| format!("its limit of {}", mib(bytes)));
        Finding::new(Severity::Block, format!("`{}` was ended because it used more than {limit}", sighting.id))
            .because("it will be ended again whenever it needs as much, and loses what it holds in memory")
            .fix(Fix::advice("raise the memory limit of the module, or make it need less"))
    });
    finding.into()
}

fn mib(bytes: i64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}
