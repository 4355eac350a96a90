use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::quantity;
use crate::manifest::{Manifest, Module};
use crate::target::Platform;
use crate::text::At;

/// What the sidecar of each module asks for, in thousandths of a byte and of a core: 25Mi and 5m (helm `values.yaml`).
const SIDECAR_MEMORY: i128 = (25 << 20) * 1000;
const SIDECAR_CPU: i128 = 5;

rule! {
    /// # More than the worker VM has
    ///
    /// Kubernetes keeps for each module what it requests, or its limit where it requests nothing. Modules for which the
    /// worker VM has no room are not started: they stay Pending, and IoT Hub shows them as `failed` with an empty
    /// reason. Each module has a sidecar, which asks for a little as well (25Mi and 5m).
    ///
    /// Needs the size of the worker VM: `--site worker_memory=8Gi --site worker_cpus=3`. It has 30 % of the processors
    /// and 25 % of the memory of the device, unless somebody has changed that; on a device with two nodes give the sum
    /// of both.
    ///
    /// ## Example
    ///
    /// With 8Gi and 3 processors:
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "settings": { "image": "t:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "memory": "6Gi" } } } } } },
    ///   "scorer": { "settings": { "image": "s:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "memory": "3Gi" } } } } } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Less, or a request below the limit: the module may then take up to its limit while nobody else needs it.
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "trainer": { "settings": { "image": "t:1", "createOptions": { "k8s-experimental": { "resources": {
    ///     "limits": { "memory": "6Gi" }, "requests": { "memory": "2Gi" } } } } } },
    ///   "scorer": { "settings": { "image": "s:1", "createOptions":
    ///     { "k8s-experimental": { "resources": { "limits": { "memory": "3Gi" } } } } } } } } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. What the node needs for itself is not counted, so a little less than the sum may be too much
    /// already.
    id: "resources-worker-vm",
    codes: &["RES-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment, Need::CreateOptions, Need::WorkerMemory, Need::WorkerCpus],
    targets: &[Platform::AseK8s],
    seed: &["resources.limits", "resources.good-practice"],
    source: "seed, Memory and CPU; ASE-PS, change memory, processor limits; ASE-OV; helm `values.yaml`",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, context: &Context<'_>) -> Verdict {
    let (Some(memory), Some(cpus)) = (&context.site.worker_memory, &context.site.worker_cpus) else {
        return Verdict::NotApplicable;
    };
    let memory_text = |amount: i128| {
        // In whole Mi, which is exact enough for a sum.
        let mebibytes = (amount + (1000 << 20) - 1) / (1000 << 20);
        quantity::memory(u64::try_from(mebibytes << 20).unwrap_or(u64::MAX))
    };
    let cpu_text = |amount: i128| quantity::cpu(u64::try_from(amount).unwrap_or(u64::MAX));
    let kinds = [
        Kind {
            name: "memory",
            what: "of memory",
            room: memory.thousandths(),
            sidecar: SIDECAR_MEMORY,
            text: &memory_text,
        },
        Kind {
            name: "cpu",
            what: "of processor time",
            room: cpus.thousandths(),
            sidecar: SIDECAR_CPU,
            text: &cpu_text,
        },
    ];
    let running: Vec<Module<'_>> = manifest.modules().filter(|module| !module.is_stopped()).collect();
    if running.is_empty() {
        return Verdict::NotApplicable;
    }
    Verdict::each(kinds, |kind| judge(&kind, &running))
}

/// Memory or processor time.
struct Kind<'c> {
    name: &'c str,
    what: &'c str,
    room: i128,
    sidecar: i128,
    text: &'c dyn Fn(i128) -> String,
}

fn judge(kind: &Kind<'_>, modules: &[Module<'_>]) -> Option<Finding> {
    let sidecars = i128::try_from(modules.len()).ok()? * kind.sidecar;
    let asks = modules.iter().filter_map(|module| {
        let at = module.request(kind.name).or_else(|| module.limit(kind.name))?;
        Some((module, at, quantity::thousandths(at.as_text()?).filter(|amount| *amount > 0)?))
    });
    let asks: Vec<(&Module<'_>, At<'_>, i128)> = asks.collect();
    let mut sum = sidecars;
    let beyond = asks.iter().position(|(.., amount)| {
        sum += amount;
        sum > kind.room
    })?;
    let total: i128 = sidecars + asks.iter().map(|(.., amount)| amount).sum::<i128>();
    let (needed, room) = ((kind.text)(total), (kind.text)(kind.room));
    let (module, at, _) = asks[beyond];
    let message = format!("the modules ask for {needed} {}, the worker VM has {room}", kind.what);
    let finding = Finding::new(Severity::Block, message)
        .at(at.span(), format!("with `{}` it is {}", module.id(), (kind.text)(sum)))
        .because("the modules that come too late stay Pending; IoT Hub shows them as `failed` without a reason")
        .fix(Fix::advice("ask for less, or give the worker VM more with `Set-AzureDataBoxEdgeRoleCompute`"));
    let others = asks.iter().enumerate().filter(|(index, _)| *index != beyond).map(|(_, ask)| ask);
    Some(others.fold(finding, |finding, (module, at, amount)| {
        finding.related(at.span(), format!("`{}` asks for {}", module.id(), (kind.text)(*amount)))
    }))
}
