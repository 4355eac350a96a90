use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity, When};
use crate::kube_model::resources::is_extended;
use crate::manifest::{FPGA, GPU, Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Span};

rule! {
    /// # Update that waits for itself
    ///
    /// Kubernetes updates a module by starting the new pod before it stops the old one. A module that holds something
    /// only one pod can have, such as a GPU, another device, a volume for one writer, or the host network, never gets
    /// there: the new pod waits for what the old one holds, and the old one stays until the new one runs. The module
    /// works until its first update, which then hangs.
    ///
    /// The migration guide asks for `Recreate` for modules with ports too. Ports and addresses belong to the Service,
    /// which no pod holds, so such modules update well without it; they are reported for information only.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "resources": { "limits": { "nvidia.com/gpu": 1 } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "k8s-experimental": {
    ///     "resources": { "limits": { "nvidia.com/gpu": 1 } },
    ///     "strategy": { "type": "Recreate" } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the strategy becomes `Recreate`. The old pod is then stopped first, so the module is away while its new
    /// image is pulled. Settings of a rolling update go, because Kubernetes refuses them beside `Recreate`. Claims made
    /// by hand are a warning, not more: the manifest doesn't say whether they are for one writer (`ase-node-local` is).
    id: "lifecycle-recreate",
    codes: &["STR-001", "GPU-005", "STO-016"],
    severity: Severity::Block,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["lifecycle.strategy"],
    source: "seed, Other differences; K8S-BP depstrat and perstorage; K8S-CO",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let strategy = module.option(&["k8s-experimental", "strategy"]);
    let kind = strategy.and_then(|at| at.get_ignoring_case("type")).and_then(At::as_str);
    let held = held(module, context);
    let [first, others @ ..] = held.as_slice() else {
        return if strategy.is_some() { Verdict::Judged(Vec::new()) } else { Verdict::NotApplicable };
    };
    // In another case it is refused, which is rule STR-003's.
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("Recreate") || has_placeholder(kind)) {
        return Verdict::Judged(Vec::new());
    }
    if first.severity == Severity::Info {
        return Verdict::Judged(vec![
            Finding::new(Severity::Info, "the migration guide asks for `Recreate` where a module has ports")
                .at(first.span, "held by the Service, not by the pod")
                .because("the module updates well without it, since no pod holds the port")
                .of(&["STR-001"]),
        ]);
    }
    let finding = Finding::new(first.severity, format!("an update of the module waits for {}", first.name))
        .when(When::Update)
        .at(first.span, "held by the old pod until the new one runs")
        .because("the new pod can't start before the old one stops, which waits for the new one");
    let others = others.iter().filter(|other| other.severity != Severity::Info);
    let finding = others.fold(finding, |finding, other| finding.related(other.span, "and so is this"));
    let finding = match strategy {
        Some(strategy) => finding.related(strategy.member_span(), "not `Recreate`"),
        None => finding,
    };
    let holds = |code| held.iter().any(|held| held.code == Some(code));
    let finding = finding.of(match (holds("GPU-005"), holds("STO-016")) {
        (true, true) => RULE.codes,
        (true, false) => &["STR-001", "GPU-005"],
        (false, true) => &["STR-001", "STO-016"],
        (false, false) => &["STR-001"],
    });
    let path = module.option_path(&["k8s-experimental", "strategy"]);
    let fix = Fix::safe("stop the old pod first, at the price of a longer pause");
    Verdict::Judged(vec![finding.fix(fix.set(path, json!({ "type": "Recreate" })))])
}

/// Something that only one pod can hold.
struct Held {
    name: String,
    span: Span,
    severity: Severity,
    /// The row of the catalogue for this thing alone.
    code: Option<&'static str>,
}

/// What the module holds, the surest first.
fn held(module: Module<'_>, context: &Context<'_>) -> Vec<Held> {
    let limits = module.option(&["k8s-experimental", "resources", "limits"]);
    let devices = limits.into_iter().flat_map(At::members).filter(|limit| is_device(*limit)).map(|limit| Held {
        name: format!("`{}`", limit.key().unwrap_or_default()),
        span: limit.key_span(),
        severity: Severity::Block,
        code: (limit.key() == Some(GPU)).then_some("GPU-005"),
    });
    let network = module.option(&["HostConfig", "NetworkMode"]);
    let network = network.filter(|at| at.as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("host")));
    let network = network.map(|at| Held {
        name: "the host network".to_owned(),
        span: at.span(),
        severity: Severity::Block,
        code: None,
    });
    // The volume of a share takes many writers.
    let is_share = |name: &str| context.site.shares.as_ref().is_some_and(|shares| shares.contains(name));
    let claims = module.pod_volumes().into_iter().filter_map(|volume| volume.claim()).filter_map(|at| {
        let name = at.as_str().filter(|name| !is_share(name))?;
        let name = format!("the claim `{name}`, if it is for one writer");
        Some(Held { name, span: at.span(), severity: Severity::Warn, code: Some("STO-016") })
    });
    // edgeHub always has ports, and nobody takes `Recreate` for it.
    let ports = module.option(&["HostConfig", "PortBindings"]);
    let ports = ports.filter(|ports| !module.is_system() && ports.members().len() > 0);
    let ports =
        ports.map(|at| Held { name: "a port".to_owned(), span: at.key_span(), severity: Severity::Info, code: None });
    devices.chain(network).chain(claims).chain(ports).collect()
}

/// Whether a limit is about devices. The FPGA is not there at all (GPU-001).
fn is_device(limit: At<'_>) -> bool {
    limit.key().is_some_and(|name| is_extended(name) && name != FPGA) && limit.as_i64() != Some(0)
}
