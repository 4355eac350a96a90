use jiff::SignedDuration;

use crate::engine::{Check, Context, Sighting, Verdict};
use crate::evidence::Grant;
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::{dns_value, object_name};
use crate::manifest::{GPU, Module};
use crate::target::Platform;
use crate::text::At;

/// A pod that has only just been made has no container status either, for a moment (STS-003).
const JUST_MADE: SignedDuration = SignedDuration::from_secs(30);

rule! {
    /// # Module that no node can take
    ///
    /// A module that is `failed` with an empty Kubernetes reason did not crash: its pod has no container yet, because
    /// no node has what it asks for (a GPU or FPGA, CPU, memory) or its volume claim is not bound. A pod that has only
    /// just been made looks the same for a moment, so for 30 seconds this is no alarm.
    ///
    /// Where the module asks for GPUs as a resource this says how many, and who holds them, where the kubelet was asked. A
    /// module whose name begins with a digit or has a dot always looks like this, since IoT Edge does not find its container.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "taken_at": "2026-01-01T00:05:00Z", "states": { "scorer": { "status": "failed", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module Failed with container status Unknown More Info: K8s reason:  with message: " } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "taken_at": "2026-01-01T00:05:00Z", "states": { "scorer": { "status": "failed", "since": "2026-01-01T00:00:00Z",
    ///   "description": "Module Failed reason: Error", "exit_code": 1 } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply: ask for less, or for what the device has. The rules of the families `compute`,
    /// `resources` and `storage` say which.
    id: "status-unscheduled",
    codes: &["STS-003"],
    severity: Severity::Block,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s],
    seed: &[],
    source: "agent `PodExtensions.cs`; observed on Kubernetes 1.20 for resources that no node has",
    check: Check::Running(check),
}

fn check(sighting: &Sighting<'_>, context: &Context<'_>) -> Verdict {
    let Some(state) = sighting.reported else { return Verdict::NotApplicable };
    let id = sighting.id;
    let finding = state.is_unscheduled().then(|| {
        let name = object_name(id);
        if dns_value(&name).as_ref() != Some(&name) {
            return Finding::new(Severity::Warn, format!("IoT Hub says failed of `{id}`, whatever it does"))
                .because("IoT Edge looks for its container by a name that has to begin with a letter and has no dot")
                .fix(Fix::advice("rename the module; until then ask the module itself whether it works"));
        }
        if context.now.duration_since(state.since) < JUST_MADE {
            return Finding::new(Severity::Info, format!("`{id}` has no container yet, though IoT Hub says failed"))
                .because("its pod has only just been made, or no node has what it asks for; it did not crash");
        }
        let finding = Finding::new(Severity::Block, format!("`{id}` was never scheduled, though IoT Hub says failed"));
        match sighting.declared.and_then(|module| gpus(module, context)) {
            Some((at, count, why)) => finding
                .at(at.span(), format!("asks for {count} of its own"))
                .because(why)
                .fix(Fix::advice("ask for fewer, or share one by `NVIDIA_VISIBLE_DEVICES` in place of the resource")),
            None => finding
                .because("no node has what the module asks for, or a volume claim is not bound; it did not crash")
                .fix(Fix::advice("compare the module's resources and volumes with what the device has")),
        }
    });
    finding.into()
}

/// The GPUs that the module asks for as a resource, which no other module may have, and why it may not get them.
fn gpus<'m>(module: Module<'m>, context: &Context<'_>) -> Option<(At<'m>, String, String)> {
    let at = module.limit(GPU)?;
    let asked = at.as_i64().filter(|count| *count > 0)?;
    let noun = |count: i64| if count == 1 { "1 GPU".to_owned() } else { format!("{count} GPUs") };
    let count = |devices: usize| noun(i64::try_from(devices).unwrap_or(i64::MAX));
    let own = object_name(module.id());
    let held = |grants: &[Grant]| grants.iter().map(|grant| grant.devices.len()).sum::<usize>();
    let pods = context.grants.into_iter().flat_map(|grants| &grants.modules).filter(|(name, _)| **name != own);
    let holders: Vec<(&String, usize)> =
        pods.map(|(name, grants)| (name, held(grants))).filter(|(_, n)| *n > 0).collect();
    let has = match context.site.gpus {
        Some(gpus) if i64::from(gpus) < asked => format!("the site has {}", noun(gpus.into())),
        _ if !holders.is_empty() => {
            let all: Vec<String> =
                holders.iter().map(|(name, held)| format!("`{name}` holds {}", count(*held))).collect();
            all.join(", ")
        }
        _ => "no node has as many free, or something else that it asks for".to_owned(),
    };
    Some((at, noun(asked), format!("it asks for {}: {has}; it did not crash", noun(asked))))
}
