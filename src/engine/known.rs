//! Whether what a rule needs is known, and how it ends where it is not.

use super::{Context, Need, Rule};
use crate::evidence::{ModuleGpus, Observed, Snapshot, Why};
use crate::manifest::{Form, Manifest, Module, Options};
use crate::report::Outcome;

/// Whether `rule` is about what the module sees of its own.
pub(super) fn rests_on_ourselves(rule: &Rule) -> bool {
    rule.needs.contains(&Need::Process) || rule.needs.contains(&Need::Network)
}

/// How a rule ends that needs what nobody saw.
pub(super) fn unseen(rule: &Rule, snapshot: &Snapshot) -> Option<Outcome> {
    rule.needs.iter().find_map(|need| match need {
        Need::Engine | Need::Inside => seen(&snapshot.engine).err(),
        Need::Process => seen(&snapshot.process).err(),
        Need::Network => seen(&snapshot.network).err(),
        _ => None,
    })
}

/// What was seen, or how a rule ends that is about it: it does not apply to what is not there.
pub(super) fn seen<T>(observed: &Observed<T>) -> Result<&T, Outcome> {
    match observed {
        Observed::Known(value) => Ok(value),
        Observed::Absent => Err(Outcome::NotApplicable),
        Observed::Unknown(why) => Err(Outcome::not_evaluated(why.clone())),
    }
}

/// How a rule about running modules ends where nothing runs that anybody could see.
pub(super) fn unsighted(rule: &Rule, snapshot: &Snapshot) -> Option<Outcome> {
    let needs_manifest = rule.needs.contains(&Need::Deployment) || rule.needs.contains(&Need::CreateOptions);
    let without_manifest = || needs_manifest.then(|| manifest(snapshot).err().map(Outcome::not_evaluated)).flatten();
    if rule.needs.contains(&Need::Engine) || rule.needs.contains(&Need::Inside) || rests_on_ourselves(rule) {
        return unseen(rule, snapshot).or_else(without_manifest);
    }
    if rule.needs.contains(&Need::Clients)
        && let Err(outcome) = seen(&snapshot.clients)
    {
        return Some(outcome);
    }
    match (&snapshot.engine, &snapshot.modules) {
        (Observed::Unknown(why), Observed::Unknown(other)) => {
            // Of two reasons the one that is somebody's failure.
            Some(Outcome::not_evaluated(if why.expected { why.clone() } else { other.clone() }))
        }
        (Observed::Absent | Observed::Unknown(_), Observed::Absent) => Some(Outcome::NotApplicable),
        _ => without_manifest(),
    }
}

/// How a rule about the GPUs of modules ends where nobody was asked who has which.
pub(super) fn unattributed(snapshot: &Snapshot) -> Option<Outcome> {
    match (&snapshot.gpus, &snapshot.grants, &snapshot.engine) {
        (Observed::Unknown(why), Observed::Unknown(grants), Observed::Unknown(engine)) => {
            let why = [why, grants, engine].into_iter().find(|why| why.expected).unwrap_or(why);
            Some(Outcome::not_evaluated(why.clone()))
        }
        (Observed::Absent, Observed::Unknown(_) | Observed::Absent, Observed::Unknown(_) | Observed::Absent) => {
            Some(Outcome::NotApplicable)
        }
        _ => None,
    }
}

/// What keeps a module that asks for GPUs from being judged: nothing is known but that it asks.
pub(super) fn unknown_steps(gpus: &ModuleGpus) -> Option<Why> {
    gpus.asked.known()?;
    match (&gpus.granted, &gpus.visible, &gpus.used) {
        (Observed::Unknown(why), Observed::Unknown(_), Observed::Unknown(_)) => Some(why.clone()),
        _ => None,
    }
}

pub(super) fn manifest(snapshot: &Snapshot) -> Result<&Manifest, Why> {
    match &snapshot.manifest {
        Observed::Known(manifest) => Ok(manifest),
        Observed::Absent => Err(Why::not_given("a deployment manifest")),
        Observed::Unknown(why) => Err(why.clone()),
    }
}

/// The first thing that `rule` needs and that is not known.
pub(super) fn missing(
    rule: &Rule,
    manifest: &Manifest,
    module: Option<Module<'_>>,
    context: &Context<'_>,
) -> Option<Why> {
    rule.needs.iter().find_map(|need| match need {
        Need::CreateOptions => broken(manifest, module),
        // Looked at before: see `unsighted`.
        Need::Engine | Need::Process | Need::Network | Need::Inside | Need::Clients => None,
        Need::Deployment => (manifest.form() == Form::CreateOptions)
            .then(|| Why::not_given("the deployment around these createOptions")),
        Need::Shares => unless(context.site.shares.is_some(), "the shares of the site (site.shares)"),
        Need::Gpus => unless(context.site.gpus.is_some(), "the GPUs of the site (site.gpus)"),
        Need::ExternalIps => unless(
            context.site.external_ips.is_some(),
            "the range of external addresses of the site (site.external_ips)",
        ),
        Need::WorkerMemory => {
            unless(context.site.worker_memory.is_some(), "the memory of the worker VM (site.worker_memory)")
        }
        Need::WorkerCpus => {
            unless(context.site.worker_cpus.is_some(), "the processors of the worker VM (site.worker_cpus)")
        }
        Need::Cuda => unless(context.site.cuda.is_some(), "the CUDA version of the driver (site.cuda)"),
        Need::Software => unless(context.target.software.is_some(), "the device software (site.software)"),
        Need::Downtime => unless(
            context.site.downtime_secs.is_some(),
            "how long the site is without IoT Hub while it moves (site.downtime_secs)",
        ),
        Need::ElevatedDockerPermissions => unless(
            context.site.elevated_docker_permissions.is_some(),
            "the setting of the VM's IoT Edge daemon (site.elevated_docker_permissions)",
        ),
    })
}

fn unless(known: bool, what: &'static str) -> Option<Why> {
    (!known).then(|| Why::not_given(what))
}

/// The createOptions that cannot be read: those of `module`; for a rule about all modules, which cannot leave one out,
/// those of any.
fn broken(manifest: &Manifest, module: Option<Module<'_>>) -> Option<Why> {
    let ids: Vec<&str> = match module {
        Some(module) => is_broken(module).then(|| module.id()).into_iter().collect(),
        None => manifest.modules().filter(|module| is_broken(*module)).map(Module::id).collect(),
    };
    (!ids.is_empty()).then(|| Why::failed(format!("the createOptions of {}, which are not JSON", ids.join(", "))))
}

fn is_broken(module: Module<'_>) -> bool {
    matches!(module.options(), Options::Broken { .. })
}
