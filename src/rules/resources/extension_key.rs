use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::means_service_options;
use crate::manifest::{Home, Module, has_placeholder, home};
use crate::target::Platform;
use crate::text::{At, Kind};

/// The sections of `k8s-experimental`, and the keys of those that have few (`k8s-translation.md` §2).
const SECTIONS: [(&str, &[&str]); 6] = [
    ("nodeSelector", &[]),
    ("resources", &["limits", "requests"]),
    ("volumes", &["volume", "volumeMounts"]),
    ("securityContext", &[]),
    ("serviceOptions", &["type", "loadBalancerIP"]),
    ("strategy", &["type", "rollingUpdate"]),
];

rule! {
    /// # Key of `k8s-experimental` that nobody reads
    ///
    /// The agent reads six sections of `k8s-experimental`: `nodeSelector`, `resources`, `volumes`, `securityContext`,
    /// `serviceOptions` and `strategy`, in any case. It drops every other key with a warning in its own log, and
    /// unknown keys inside of a section without one. If `k8s-experimental` is not an object, all of it is dropped.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "deploymentStrategy": { "type": "Recreate" } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": { "strategy": { "type": "Recreate" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks where one of the known keys looks alike, because it will have an effect then. Command, environment and
    /// labels belong right in the createOptions. Affinity, tolerations, probes and init containers can't be had through
    /// IoT Edge. A misspelt `serviceOptions` is the business of NET-011.
    id: "resources-extension-key",
    codes: &["RES-007"],
    severity: Severity::Silent,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits"],
    source: "agent `KubernetesExperimentalCreatePodParameters.cs`; that keys inside of a section are dropped is inferred",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let Some(root) = module.option(&["k8s-experimental"]).filter(|at| at.kind() != Kind::Null) else {
        return Verdict::NotApplicable;
    };
    if root.kind() != Kind::Object {
        return Verdict::Judged(vec![
            Finding::new(Severity::Silent, "`k8s-experimental` is not an object")
                .at(root.span(), "expected { … }")
                .because("the agent drops all of it with a warning in its own log")
                .fix(Fix::advice("write it as an object, not as text or as a list")),
        ]);
    }
    let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let mut findings: Vec<Finding> = root.members().filter_map(|member| unknown(member, &names)).collect();
    for (name, keys) in SECTIONS.iter().filter(|(_, keys)| !keys.is_empty()) {
        let section = root.get_ignoring_case(name);
        let entries = section.into_iter().flat_map(At::items);
        let members = section.into_iter().flat_map(At::members).chain(entries.flat_map(At::members));
        findings.extend(members.filter_map(|member| unknown(member, keys)));
    }
    Verdict::Judged(findings)
}

/// A finding about `member` if it is none of `known`.
fn unknown(member: At<'_>, known: &[&str]) -> Option<Finding> {
    let key = member.key()?;
    let is_known = known.iter().any(|known| known.eq_ignore_ascii_case(key));
    // Notes of tools, and what other rules report.
    let is_other = key.starts_with('$') || has_placeholder(key) || means_service_options(key);
    if is_known || is_other {
        return None;
    }
    let finding = Finding::new(Severity::Silent, format!("`{key}` is not read here"))
        .at(member.key_span(), "unknown to the agent")
        .because("it is dropped without a word that reaches you");
    let section = SECTIONS.iter().find(|(_, keys)| keys.iter().any(|known| known.eq_ignore_ascii_case(key)));
    Some(finding.fix(match (near(key, known), section, home(key)) {
        (Some(near), ..) => Fix::ask(format!("write `{near}`")).rename(member.path(), near),
        (_, Some((section, _)), _) => Fix::advice(format!("it belongs in `{section}`")),
        (_, _, Some((name, Home::Top))) => Fix::advice(format!("say it right in the createOptions, as `{name}`")),
        (_, _, Some((name, Home::HostConfig))) => Fix::advice(format!("say it in `HostConfig`, as `{name}`")),
        _ => Fix::advice(format!("remove it; known here are {}", known.join(", "))),
    }))
}

/// The one of `known` that `key` seems to mean: it ends in it (`deploymentStrategy`), or is it in the singular or
/// plural.
fn near<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = key.to_ascii_lowercase();
    known.iter().copied().find(|known| {
        let known = known.to_ascii_lowercase();
        let same = known.trim_end_matches('s') == key.trim_end_matches('s');
        same || known.len() > 6 && key.len() > known.len() && key.ends_with(&known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_keys_are_proposed() {
        let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        for (key, expected) in [
            ("deploymentStrategy", Some("strategy")),
            ("resource", Some("resources")),
            ("Volume", Some("volumes")),
            ("podSecurityContext", Some("securityContext")),
            ("tolerations", None),
            ("env", None),
        ] {
            assert_eq!(near(key, &names), expected, "{key}");
        }
        assert_eq!(near("limit", SECTIONS[1].1), Some("limits"));
        assert_eq!(near("volumeMount", SECTIONS[2].1), Some("volumeMounts"));
    }
}
