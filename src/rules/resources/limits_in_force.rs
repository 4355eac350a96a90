use crate::engine::{Check, Context, Need, Sighting, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Limit in force that is not the declared one
    ///
    /// The container has another limit of memory or of processor time than the deployment declares: it was made from an older
    /// deployment, or somebody changed it with `docker update`. Nothing shows until the module needs what it was promised, or takes
    /// what it should not have.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "scorer": { "settings": {
    ///     "image": "scorer:1", "createOptions": "{\"HostConfig\":{\"Memory\":268435456}}" } } } } } } },
    ///   "engine": { "containers": { "scorer": { "status": "running", "limits": { "memory": 67108864 } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "manifest": { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": { "scorer": { "settings": {
    ///     "image": "scorer:1", "createOptions": "{\"HostConfig\":{\"Memory\":268435456}}" } } } } } } },
    ///   "engine": { "containers": { "scorer": { "status": "running", "limits": { "memory": 268435456 } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only: change the deployment, so that the container is made anew.
    id: "resources-limits-in-force",
    codes: &[],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[Need::Engine, Need::Deployment, Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "Docker `HostConfig.Memory`, `HostConfig.NanoCpus` of the container; migration rules §4",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, _: &Context<'_>) -> Verdict {
    let (Some(declared), Some(container)) = (sighting.declared, sighting.container) else {
        return Verdict::NotApplicable;
    };
    let limits = [
        ("Memory", container.limits.memory, "bytes"),
        ("NanoCpus", container.limits.nano_cpus, "billionths of a processor"),
    ];
    let declared = limits.into_iter().filter_map(|(key, in_force, unit)| {
        let at = declared.option(&["HostConfig", key])?;
        let wanted = at.as_i64().filter(|wanted| *wanted > 0)?;
        Some((key, at, wanted, in_force, unit))
    });
    Verdict::each(declared, |(key, at, wanted, in_force, unit)| {
        if in_force == Some(wanted) {
            return None;
        }
        let has = in_force.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} {unit}"));
        let finding =
            Finding::new(Severity::Silent, format!("`{}` runs with another `{key}` than declared", sighting.id))
                .at(at.span(), format!("{wanted} declared; in force: {has}"))
                .because("the container is from another deployment, or its limits were changed by hand");
        Some(finding.fix(Fix::advice("change the module in the deployment, so that its container is made anew")))
    })
}
