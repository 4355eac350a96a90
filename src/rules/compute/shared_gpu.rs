use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{GPU, Module};
use crate::target::Platform;

rule! {
    /// # GPU that is shared
    ///
    /// `NVIDIA_VISIBLE_DEVICES` gives a module a whole GPU, for a time in turn with every other module that names the
    /// same one. It is a documented way, and needs no resource. Nothing is reserved: Kubernetes doesn't know of it,
    /// places the module wherever it likes, and may hand the same GPU to a module that asks for it as a resource.
    ///
    /// The documentation contradicts itself on whether one module may have both GPUs: one page says that `0,1` gives it
    /// both, another that a module can't be mapped to more than one.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["NVIDIA_VISIBLE_DEVICES=0"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// Nothing, if sharing is what you want; a resource, if the module needs a GPU for itself.
    ///
    /// ```json,passes
    /// { "Env": ["NVIDIA_VISIBLE_DEVICES=none"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. That an image may choose GPUs by itself is not seen: images that are made from NVIDIA's say `all`.
    id: "compute-shared-gpu",
    codes: &["GPU-006", "GPU-009"],
    severity: Severity::Info,
    fix: Safety::None,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "ASE-GPU step 11; ASE-SHARE; ASE-IOTSHARE; contradiction C4",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    // With a limit beside it the variable has two owners, which is rule GPU-007's.
    let devices = module.visible_devices().filter(|_| module.limit(GPU).is_none());
    Verdict::each(devices, |devices| {
        let names: Vec<&str> = devices.names().into_iter().map(|(name, _)| name).collect();
        let (message, way_out) = match names.as_slice() {
            _ if devices.is_all() => ("the module shares every GPU of its node".to_owned(), ONE),
            [] => return None,
            [name] => (format!("the module shares GPU {name}"), ALONE),
            names => (format!("the module shares the GPUs {}", names.join(" and ")), ONE),
        };
        let several = "nothing is reserved, and the documentation doesn't agree whether a module may have several GPUs";
        let reason = if way_out == ONE { several } else { "nothing is reserved: others take their turns on it" };
        Some(
            Finding::new(Severity::Info, message)
                .at(devices.variable.value_span(), "shared, not reserved")
                .because(reason)
                .fix(Fix::advice(way_out)),
        )
    })
}

const ALONE: &str = "if it needs a GPU for itself, ask for one in `k8s-experimental.resources.limits`";
const ONE: &str = "if one is enough, name it by its number, 0 or 1";
