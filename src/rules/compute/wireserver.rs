use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # Address of the FPGA's wire server
    ///
    /// `WIRESERVER_ADDRESS` tells a module where the FPGA's wire server listens. The GPU device has none, and a
    /// module that still looks for it waits for nothing.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "Env": ["WIRESERVER_ADDRESS=10.139.218.1"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["MODEL=resnet50"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Safe: the variable is removed.
    id: "compute-wireserver",
    codes: &["GPU-002"],
    severity: Severity::Warn,
    fix: Safety::Safe,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["compute.fpga-spec", "compute.gpu-spec"],
    source: "seed, Compute acceleration",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    Verdict::each(module.env(), |var| {
        (var.name == "WIRESERVER_ADDRESS").then(|| {
            Finding::new(Severity::Warn, "`WIRESERVER_ADDRESS` belongs to the FPGA")
                .at(var.name_span(), "no wire server on the GPU device")
                .because("nothing answers at this address there")
                .fix(Fix::safe("remove the variable").remove(var.path()))
        })
    })
}
