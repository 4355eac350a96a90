use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::means_service_options;
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Kind};

rule! {
    /// # Service options that nobody reads
    ///
    /// The agent knows the section `serviceOptions` of `k8s-experimental`, in any case. The first example on the
    /// documentation page of the createOptions writes `service-options` instead, against the page's own later section; such
    /// a key is dropped with a warning in the agent's log, and the Service gets the default type: on the device one
    /// with an external address.
    ///
    /// A `type` that is none of `ClusterIP`, `LoadBalancer` and `NodePort` counts as absent, with the same result.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "service-options": { "type": "ClusterIP" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "serviceOptions": { "type": "ClusterIP" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the key is renamed. Where `serviceOptions` is there besides, it asks to remove the other one; a type can only
    /// be chosen by you.
    id: "network-service-options",
    codes: &["NET-011"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["network.cluster-only"],
    source: "K8S-CO, first block against \"Apply Service options\" (contradiction C15); agent `KubernetesExperimentalCreatePodParameters.cs`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let read = module.option(&["k8s-experimental", "serviceOptions"]);
    let sections = module
        .option(&["k8s-experimental"])
        .into_iter()
        .flat_map(At::members)
        .filter(|at| at.key().is_some_and(means_service_options));
    Verdict::each(sections, |section| {
        if section.key().is_some_and(|key| key.eq_ignore_ascii_case("serviceOptions")) {
            unknown_type(section)
        } else {
            Some(misspelt(section, read))
        }
    })
}

fn misspelt(section: At<'_>, read: Option<At<'_>>) -> Finding {
    let key = section.key().unwrap_or_default();
    let finding = Finding::new(Severity::Silent, format!("`{key}` is not read, `serviceOptions` is"))
        .at(section.key_span(), "unknown to the agent")
        .because("the Service gets the default type: with host ports one that is reachable from outside");
    match read {
        Some(read) => finding
            .related(read.key_span(), "this is what counts")
            .fix(Fix::ask(format!("remove `{key}`")).remove(section.path())),
        None => finding.fix(Fix::safe("rename it to `serviceOptions`").rename(section.path(), "serviceOptions")),
    }
}

fn unknown_type(section: At<'_>) -> Option<Finding> {
    let at = section.get_ignoring_case("type").filter(|at| at.kind() == Kind::String)?;
    let text = at.as_str()?.trim();
    let known = ["ClusterIP", "LoadBalancer", "NodePort"];
    // The agent reads an enumeration, which takes numbers too.
    if has_placeholder(text)
        || text.parse::<i64>().is_ok()
        || known.iter().any(|known| known.eq_ignore_ascii_case(text))
    {
        return None;
    }
    let finding = Finding::new(Severity::Silent, format!("`{text}` is no type of a Service"))
        .at(at.span(), "expected ClusterIP, LoadBalancer or NodePort")
        .because("the agent takes it as absent, and the Service gets the default type: with host ports one that is reachable from outside");
    Some(finding.fix(Fix::advice("choose ClusterIP to stay inside the cluster, LoadBalancer for an external address")))
}
