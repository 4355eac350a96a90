use crate::engine::{Check, Context, Verdict};
use crate::evidence::Gpu;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Multi-Process Service that is off
    ///
    /// With the Multi-Process Service (MPS) several modules compute on one GPU at once. The device switches it off with each update
    /// of its own software or of Kubernetes, and nobody says so: the modules take turns then, or, where the GPU is still exclusive
    /// to one process, only one of them gets it.
    ///
    /// It counts as expected where a module has variables `CUDA_MPS_…`, and where the GPU was in that mode before.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "exclusive": false, "mps": {"was_exclusive": true, "server": false}}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpus": [{"uuid": "GPU-1", "name": "Tesla T4", "exclusive": true, "mps": {"was_exclusive": true, "server": true, "clients": 2}}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: `Start-HcsGpuMPS` on the device's PowerShell interface.
    id: "gpu-mps",
    codes: &["GPH-014"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["compute.gpu-spec"],
    source: "ASE-RN2407 known issue 24; azure-stack-edge-gpu-deploy-iot-edge-gpu-sharing; NVML's compute mode",
    check: Check::Gpu(check),
}

fn check(gpu: &Gpu, context: &Context<'_>) -> Verdict {
    let (Some(mps), Some(exclusive)) = (gpu.mps, gpu.exclusive) else { return Verdict::NotApplicable };
    let is_wanted = context.expects_mps || mps.was_exclusive;
    if !is_wanted {
        return Verdict::NotApplicable;
    }
    let why = match (exclusive, mps.server) {
        (false, Some(true)) | (true, Some(true) | None) => return Verdict::Judged(Vec::new()),
        (false, _) if mps.was_exclusive => "the GPU was in its mode before; the device drops it with each update",
        (false, _) => "a module counts on it by its variables CUDA_MPS_…, and takes turns with the others instead",
        (true, Some(false)) => "the GPU is exclusive to one process, and no server lets more than one in",
    };
    let finding =
        Finding::new(Severity::Silent, format!("the Multi-Process Service is off on {} {}", gpu.name, gpu.uuid));
    let advice = "run Start-HcsGpuMPS on the device's PowerShell interface, then recreate the modules that use the GPU";
    Verdict::Judged(vec![finding.because(why).fix(Fix::advice(advice))])
}
