use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::{Module, has_placeholder};
use crate::target::Platform;
use crate::text::{At, Kind};

/// The modes that a client of the Multi-Process Service needs.
const MODES: [&str; 2] = ["IpcMode", "PidMode"];

rule! {
    /// # Multi-Process Service out of reach
    ///
    /// `CUDA_MPS_…` variables are for NVIDIA's Multi-Process Service (MPS), by which several modules compute on one GPU
    /// at once. The service runs on the node, not in the pod: a module reaches it only with the node's shared memory
    /// and processes, `IpcMode` and `PidMode` both `host`, as every sample of the device has them. Without them the
    /// variables have no effect.
    ///
    /// The service itself is started on the device with `Start-HcsGpuMPS`, and is off again after every update of the
    /// device.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=50"], "HostConfig": { "IpcMode": "host" } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=50"], "HostConfig": { "IpcMode": "host", "PidMode": "host" } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because it takes isolation away: with them the module sees the processes and the shared memory of the
    /// node. It sets the modes that are missing. `PidMode` works with agents from beta14 on (GPU-011).
    id: "compute-mps",
    codes: &["GPU-010"],
    severity: Severity::Warn,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s],
    seed: &["compute.gpu-spec"],
    source: "ASE-IOTSHARE, create options; ASE-PS, enable MPS; `gpu-deploy-kubernetes-gpu-sharing`",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    let variables: Vec<_> = module.env().into_iter().filter(|var| var.name.starts_with("CUDA_MPS_")).collect();
    Verdict::each(variables.first(), |first| {
        let missing: Vec<&str> = MODES.into_iter().filter(|mode| !is_host(module, mode)).collect();
        let listed = missing.iter().map(|mode| format!("`{mode}`")).collect::<Vec<_>>().join(" and ");
        (!missing.is_empty()).then(|| {
            let finding = Finding::new(Severity::Warn, format!("the module can't reach MPS without {listed} `host`"))
                .at(first.name_span(), "for the Multi-Process Service of the node")
                .because("the variable has no effect: the module takes turns on the GPU like any other");
            let modes = missing.iter().filter_map(|mode| module.option(&["HostConfig", mode]));
            let finding = modes.fold(finding, |finding, mode| finding.related(mode.member_span(), "not `host`"));
            finding.fix(host(module, &missing))
        })
    })
}

/// Whether the mode is `host`, or may be.
fn is_host(module: Module<'_>, mode: &str) -> bool {
    let value = module.option(&["HostConfig", mode]).and_then(At::as_str);
    value.is_some_and(|value| value.eq_ignore_ascii_case("host") || has_placeholder(value))
}

fn host(module: Module<'_>, missing: &[&str]) -> Fix {
    let fix = Fix::ask("join the shared memory and the processes of the node; that takes isolation away");
    if module.option(&["HostConfig"]).is_some_and(|at| at.kind() == Kind::Object) {
        return missing.iter().fold(fix, |fix, mode| fix.set(module.option_path(&["HostConfig", mode]), "host"));
    }
    module.set_option(fix, &["HostConfig"], json!({ "IpcMode": "host", "PidMode": "host" }))
}
