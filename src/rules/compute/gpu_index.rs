use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::manifest::Module;
use crate::target::Platform;

rule! {
    /// # GPU that the site doesn't have
    ///
    /// GPUs are counted from 0. A module whose `NVIDIA_VISIBLE_DEVICES` names a number that is not there does not
    /// start, or starts without a GPU.
    ///
    /// Needs the number of GPUs that Kubernetes (or the VM) may use: `--site gpus=1`. GPUs that belong to other virtual
    /// machines don't count.
    ///
    /// ## Example
    ///
    /// With one GPU:
    ///
    /// ```json,fails
    /// { "Env": ["NVIDIA_VISIBLE_DEVICES=1"] }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "Env": ["NVIDIA_VISIBLE_DEVICES=0"] }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks, because all that use GPU 0 share it: the number becomes 0 where the module names only this one.
    id: "compute-gpu-index",
    codes: &["GPU-008"],
    severity: Severity::Block,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions, Need::Gpus],
    targets: Platform::ALL,
    seed: &["compute.gpu-spec"],
    source: "ASE-GPU (0 or 1); what follows is inferred",
    check: Check::Module(check),
}

fn check(module: Module<'_>, context: &Context<'_>) -> Verdict {
    let Some(available) = context.site.gpus else { return Verdict::NotApplicable };
    let Some(devices) = module.visible_devices() else { return Verdict::NotApplicable };
    let names = devices.names();
    let only_one = names.len() == 1;
    Verdict::each(names, |(name, range)| {
        let index: u32 = name.parse().ok().filter(|index| *index >= available)?;
        let (message, label) = match available {
            0 => ("there is no GPU for the module".to_owned(), "the site has none left".to_owned()),
            1 => (format!("there is no GPU {index}"), "the site has one, number 0".to_owned()),
            n => (format!("there is no GPU {index}"), format!("the site has {n}, numbers 0 to {}", n - 1)),
        };
        let fix = if available > 0 && only_one {
            let (path, value) = devices.variable.with_value("0");
            Fix::ask("use GPU 0, with whoever else does").set(path, value)
        } else {
            Fix::advice("name only GPUs that are there, or free one")
        };
        Some(
            Finding::new(Severity::Block, message)
                .at(devices.variable.value_part(range), label)
                .because("the module does not start, or has no GPU to compute on")
                .fix(fix),
        )
    })
}
