use crate::engine::{Check, Context, Verdict};
use crate::evidence::{DriverState, GpuDriver};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Driver of the GPUs that does not answer
    ///
    /// The driver is not loaded, belongs to another version than the library in the container, may not be used by the
    /// container, or does not come back from a call. Nothing that computes on a GPU works then, and nothing is known of it.
    /// Where no module asks for a GPU and the settings name none, a missing driver is no fault.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpu_driver": {"state": "mismatch"}}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z", "gpu_driver": {"state": "up", "gpus": 1}}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply; the finding says what to do. `Get-HcsGpuNvidiaSmi` on the device's PowerShell interface
    /// shows whether the host sees its GPU.
    id: "gpu-driver",
    codes: &["GPH-001"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &[],
    source: "NVML's error codes; NVIDIA container toolkit, issue 48, for the lost cgroup",
    check: Check::GpuDriver(check),
}

fn check(driver: &GpuDriver, context: &Context<'_>) -> Verdict {
    let (what, why, advice) = match driver.state {
        DriverState::Up => return fewer(driver, context).into(),
        DriverState::NoLibrary | DriverState::NotLoaded if !context.expects_gpus => return Verdict::NotApplicable,
        DriverState::NoLibrary => (
            "there is no NVIDIA library in this container",
            "the container runtime did not hand it in, so the GPUs cannot be looked at",
            "use the nvidia runtime, with `utility` among NVIDIA_DRIVER_CAPABILITIES",
        ),
        DriverState::NotLoaded => (
            "the NVIDIA driver is not running on the host",
            "no module can compute on a GPU",
            "look for the GPU with Get-HcsGpuNvidiaSmi, then restart the device",
        ),
        DriverState::Mismatch => (
            "the NVIDIA driver and the library of this container are of different versions",
            "the driver was updated under a running container",
            "recreate this module; if the host says the same, restart the device",
        ),
        DriverState::NoAccess => (
            "this container lost its GPU",
            "its device cgroup no longer lets it in, often after `systemctl daemon-reload`; other modules may be hit too",
            "recreate the modules that use the GPU; device nodes by `nvidia-ctk system create-dev-char-symlinks` last",
        ),
        DriverState::Unresponsive => (
            "the GPU driver is unresponsive",
            "a call did not come back; modules that use the GPU hang in the same way",
            "restart the device",
        ),
        DriverState::Failed => (
            "the GPU driver answers with an error",
            "nothing is known of the GPUs",
            "restart the device; if it stays, collect `nvidia-bug-report` for support",
        ),
    };
    let said = driver.detail.as_ref().map_or_else(String::new, |detail| format!(" ({detail})"));
    let finding = Finding::new(Severity::Block, format!("{what}{said}")).because(why);
    Verdict::Judged(vec![finding.fix(Fix::advice(advice))])
}

/// Fewer GPUs than the settings name.
fn fewer(driver: &GpuDriver, context: &Context<'_>) -> Option<Finding> {
    let expected = context.site.gpus.filter(|expected| *expected > driver.gpus)?;
    let severity = if driver.gpus == 0 { Severity::Block } else { Severity::Warn };
    let seen = driver.gpus;
    let finding = Finding::new(severity, format!("{seen} of {expected} GPUs can be seen"))
        .because("the site's facts name more; in a container only those that were handed in can be seen");
    Some(finding.fix(Fix::advice("compare with Get-HcsGpuNvidiaSmi; if it shows fewer too, restart the device")))
}
