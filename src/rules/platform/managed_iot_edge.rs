use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Manifest;
use crate::target::{Platform, Software};

rule! {
    /// # Managed IoT Edge that has ended
    ///
    /// IoT Edge on the Kubernetes of the device ("managed IoT Edge") ended on 31 March 2024, and from device software
    /// 2301 on all IoT Edge deployments are to be in an Ubuntu VM on the device, on Docker again.
    ///
    /// The sources disagree on what is there today: the notice of the end says that existing workloads are removed
    /// after that date, the release notes from 2312 to 2607 that they do not stop working and are no longer updated.
    /// Neither is a place to move to.
    ///
    /// Needs the software of the device (`--target ase-k8s@2301`).
    ///
    /// ## Example
    ///
    /// With device software 2312:
    ///
    /// ```json,fails
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {
    ///   "scorer": { "settings": { "image": "scorer:1" } } } } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// The target `ase-vm`. Most rules about Kubernetes do not hold there; those about share paths, FPGA and GPUs do. A
    /// layer without modules moves nothing:
    ///
    /// ```json,passes
    /// { "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": {} } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Words only. Suppress the finding where you know that the device goes on with what it has.
    id: "platform-managed-iot-edge",
    codes: &["PLT-001"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[Need::Deployment, Need::Software],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "Deprecation notice of managed IoT Edge; ASE-RN2312 #26, ASE-RN2607 #28; ASE-MOVE (contradiction C14)",
    check: Check::Deployment(check),
}

fn check(manifest: &Manifest, context: &Context<'_>) -> Verdict {
    // A layer over routes or twins alone moves nothing.
    let moves = manifest.modules().next().is_some();
    let ended = |software: &Software| moves && *software >= Software::FIRST_WITHOUT_IOT_EDGE;
    let software = context.target.software.filter(ended);
    Verdict::from(software.map(|software| {
        Finding::new(Severity::Block, format!("device software {software} is no target for IoT Edge on Kubernetes"))
            .because(
                "managed IoT Edge ended on 31 March 2024; from 2301 on IoT Edge belongs in an Ubuntu VM on the device",
            )
            .fix(Fix::advice("move to the VM, and check the deployment with `--target ase-vm`"))
    }))
}
