use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::quantity;
use crate::manifest::Module;
use crate::target::Platform;
use crate::text::At;

/// Docker's period where none is written, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The options that are looked at, in the order of findings.
const OPTIONS: [&str; 8] =
    ["Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "CpuShares", "CpusetCpus"];

rule! {
    /// # Docker's limits of memory and processor
    ///
    /// The agent on Kubernetes takes limits from `k8s-experimental.resources` and from nowhere else. Docker's own, in
    /// `HostConfig`, are dropped without a word: the module may take all memory of the node, and bring its neighbours
    /// down with it.
    ///
    /// The sources disagree: the agent's own documentation says that the limits in `HostConfig` are honoured; its code
    /// never reads them.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "HostConfig": { "Memory": 268435456, "NanoCpus": 500000000 } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// A manifest may carry both, each platform reads its own.
    ///
    /// ```json,passes
    /// { "HostConfig": { "Memory": 268435456 },
    ///   "k8s-experimental": { "resources": { "limits": { "memory": "256Mi", "cpu": "500m" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe for `Memory`, `MemoryReservation` (a request), `NanoCpus`, and `CpuQuota` with its `CpuPeriod`: they become
    /// the same amount of `memory` and `cpu`. A `CpuPeriod` alone asks: the documentation takes 25000 for a quarter of
    /// a core, but in Docker a period limits nothing until there is a quota. `MemorySwap`, `CpuShares` and
    /// `CpusetCpus` have no exact counterpart; they are reported as warnings.
    id: "resources-docker-limits",
    codes: &["RES-001"],
    severity: Severity::Silent,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits"],
    source: "seed, Memory and CPU; agent `KubernetesDeploymentMapper.cs`; IE-CO; contradictions C5 and C18",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let options = OPTIONS.into_iter().filter_map(|name| Some((name, module.option(&["HostConfig", name])?)));
    Verdict::each(options, |(name, at)| judge(module, name, at))
}

fn judge(module: Module<'_>, name: &str, at: At<'_>) -> Option<Finding> {
    if is_unlimited(name, at) {
        return None;
    }
    let given = match name {
        "Memory" => module.limit("memory"),
        "MemoryReservation" => module.request("memory"),
        "CpuShares" => module.request("cpu"),
        _ => module.limit("cpu"),
    };
    let limits = |name| module.option(&["HostConfig", name]).filter(|at| !is_unlimited(name, *at));
    let amount = amount(at);
    match name {
        "MemorySwap" | "CpusetCpus" => Some(without_counterpart(name, at)),
        _ if given.is_some() => None,
        "CpuShares" => Some(without_counterpart(name, at)),
        "Memory" => Some(translated(module, at, "limits", "memory", amount.map(quantity::memory))),
        "MemoryReservation" => Some(translated(module, at, "requests", "memory", amount.map(quantity::memory))),
        "NanoCpus" => Some(translated(module, at, "limits", "cpu", amount.map(|n| quantity::cpu(n / 1_000_000)))),
        // Docker takes either NanoCpus or a quota; quota and period are one limit.
        _ if limits("NanoCpus").is_some() => None,
        "CpuQuota" => Some(quota(module, at, limits("CpuPeriod"))),
        _ if limits("CpuQuota").is_none() => Some(period(module, at)),
        _ => None,
    }
}

/// Whether an option says "no limit": 0, -1 or nothing. What is no number may be a placeholder for one.
fn is_unlimited(name: &str, at: At<'_>) -> bool {
    at.as_text().is_none_or(|text| text.trim().is_empty())
        || name != "CpusetCpus" && at.as_i64().is_some_and(|number| number <= 0)
}

fn amount(at: At<'_>) -> Option<u64> {
    at.as_i64().and_then(|number| u64::try_from(number).ok())
}

fn translated(module: Module<'_>, at: At<'_>, section: &str, resource: &str, amount: Option<String>) -> Finding {
    let fix = match amount {
        Some(amount) => Fix::safe(format!("ask Kubernetes for it: `{section}.{resource}` {amount}"))
            .remove(at.path())
            .set(module.option_path(&["k8s-experimental", "resources", section, resource]), amount),
        None => Fix::advice(format!("say it in `k8s-experimental.resources.{section}.{resource}`")),
    };
    finding(Severity::Silent, at).fix(fix)
}

fn quota(module: Module<'_>, at: At<'_>, period: Option<At<'_>>) -> Finding {
    let Some(period) = period else {
        return translated(module, at, "limits", "cpu", amount(at).map(|quota| cpu(quota, DEFAULT_PERIOD)));
    };
    let both = amount(at).zip(amount(period));
    let mut finding = translated(module, at, "limits", "cpu", both.map(|(quota, period)| cpu(quota, period)));
    finding.fix = finding.fix.map(|fix| if both.is_some() { fix.remove(period.path()) } else { fix });
    finding.related(period.member_span(), "belongs to it")
}

fn period(module: Module<'_>, at: At<'_>) -> Finding {
    let finding = finding(Severity::Silent, at);
    let Some(amount) = amount(at).map(|period| cpu(period, DEFAULT_PERIOD)) else {
        return finding.fix(Fix::advice("say it in `k8s-experimental.resources.limits.cpu`"));
    };
    let path = module.option_path(&["k8s-experimental", "resources", "limits", "cpu"]);
    let question = format!("if a part of {DEFAULT_PERIOD} was meant, ask Kubernetes for `limits.cpu` {amount}");
    finding.fix(Fix::ask(question).remove(at.path()).set(path, amount))
}

/// `quota` of every `period`, both in microseconds.
fn cpu(quota: u64, period: u64) -> String {
    quantity::cpu(quota.saturating_mul(1000) / period.max(1))
}

fn without_counterpart(name: &str, at: At<'_>) -> Finding {
    finding(Severity::Warn, at).fix(Fix::advice(match name {
        "MemorySwap" => "remove it; `limits.memory` of `k8s-experimental.resources` is all that Kubernetes knows",
        "CpuShares" => "say in `requests.cpu` of `k8s-experimental.resources` how much the module needs",
        _ => "remove it; Kubernetes chooses the cores, and `limits.cpu` of `k8s-experimental.resources` says how many",
    }))
}

fn finding(severity: Severity, at: At<'_>) -> Finding {
    Finding::new(severity, format!("`{}` has no effect on Kubernetes", at.key().unwrap_or_default()))
        .at(at.member_span(), "not translated")
        .because("the module runs without this limit, and nothing says so")
}
