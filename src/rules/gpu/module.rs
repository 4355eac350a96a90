use crate::engine::{Check, Context, Verdict};
use crate::evidence::{AskedBy, Granted, GrantedBy, ModuleGpus, Observed};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::target::Platform;

rule! {
    /// # Module that does not get the GPU that it asks for, or does not use it
    ///
    /// What a module asks for, what it was given, what it can see, and what its processes use are four things, and each may be less
    /// than the one before. Nothing is red then: the module computes on the processor, and is slow. The finding says where it breaks.
    ///
    /// - Asked for, not given: on Kubernetes the kubelet has nothing for the pod; on Docker the runtime that starts the container
    ///   hands in no GPU, whatever `NVIDIA_VISIBLE_DEVICES` says.
    /// - Given, not seen: a GPU of that number or name is not there, or does not answer.
    /// - Seen, not used: none of its processes computed on a GPU for half an hour. Where it keeps the processor busy meanwhile, as
    ///   the Docker engine counts, it fell back to the processor or lost the GPU; else it may have nothing to do.
    /// - Used, not given: its image brings `NVIDIA_VISIBLE_DEVICES=all` along, or it is privileged; it takes memory from others.
    ///
    /// Who was given what, the kubelet's list of pod resources or the Docker engine says; whose processes compute, the process
    /// namespace of the host (`PidMode` `host`). What is not known is not judged.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// {"taken_at": "2026-01-01T00:10:00Z",
    ///  "manifest": {"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"detector": {"settings": {"image": "d:1",
    ///    "createOptions": "{\"Env\":[\"NVIDIA_VISIBLE_DEVICES=0\"]}"}}}}}}},
    ///  "engine": {"containers": {"detector": {"id": "c0", "status": "running", "gpus": {"runtime": "runc", "visible": "0"}}}},
    ///  "gpu_driver": {"gpus": 1}, "gpus": [{"uuid": "GPU-1", "name": "Tesla T4"}]}
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// {"taken_at": "2026-01-01T00:10:00Z",
    ///  "manifest": {"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"detector": {"settings": {"image": "d:1",
    ///    "createOptions": "{\"Env\":[\"NVIDIA_VISIBLE_DEVICES=0\"],\"HostConfig\":{\"Runtime\":\"nvidia\"}}"}}}}}}},
    ///  "engine": {"containers": {"detector": {"id": "c0", "status": "running", "gpus": {"runtime": "nvidia", "visible": "0"}}}},
    ///  "gpu_driver": {"gpus": 1}, "gpus": [{"uuid": "GPU-1", "name": "Tesla T4"}]}
    /// ```
    ///
    /// ## Fix
    ///
    /// None that a machine could apply; the finding says what to do.
    id: "gpu-module",
    codes: &["GPH-012"],
    severity: Severity::Silent,
    fix: Safety::None,
    needs: &[],
    targets: &[Platform::AseK8s, Platform::AseVm],
    seed: &["compute.gpu-spec"],
    source: "kubelet pod resources; Docker's DeviceRequests; NVIDIA container toolkit; NVML's process lists",
    check: Check::ModuleGpus(check),
}

/// How long a module may have a GPU and not compute on it, s. The half hour is ours.
const IDLE: u64 = 30 * 60;

/// How many processors a module keeps busy that works; the half is ours.
const WORKS: f64 = 0.5;

/// Where the ladder breaks: how bad that is, why, and what to do.
type Break = (Severity, &'static str, &'static str);

fn check(gpus: &ModuleGpus, _: &Context<'_>) -> Verdict {
    let asks = gpus.asked.known().is_some();
    let has = gpus.granted.known().is_some_and(|granted| granted.count != Some(0));
    let uses = gpus.used.known().is_some_and(|used| !used.is_empty());
    if !asks && !has && !uses {
        return Verdict::NotApplicable;
    }
    let found = not_given(gpus).or_else(|| not_seen(gpus)).or_else(|| not_granted(gpus)).or_else(|| not_used(gpus));
    let finding =
        found.map(|(severity, why, advice)| Finding::new(severity, steps(gpus)).because(why).fix(Fix::advice(advice)));
    finding.into()
}

fn not_given(gpus: &ModuleGpus) -> Option<Break> {
    let (asked, granted) = (gpus.asked.known()?, gpus.granted.known()?);
    // The variable reserves nothing on Kubernetes, and what Docker's options come to there is said of what was written.
    if granted.by == GrantedBy::Kubelet && asked.by != AskedBy::Resource {
        return None;
    }
    let given = granted.count?;
    if given >= asked.count.unwrap_or(1) {
        return None;
    }
    Some(match (granted.by, given) {
        (GrantedBy::Kubelet, _) => (
            Severity::Silent,
            "the kubelet gave its pod fewer GPUs than it asks for; copies of a shared GPU count once",
            "see whether the device plugin runs and what else holds a GPU (kubectl describe node), then recreate the module",
        ),
        (GrantedBy::Engine, 0) => (
            Severity::Silent,
            "the runtime that starts its container hands in no GPU, so it computes on the processor or fails",
            "set HostConfig.Runtime to `nvidia` or ask by DeviceRequests, and let IoT Edge recreate the module",
        ),
        (GrantedBy::Engine, _) => (
            Severity::Silent,
            "its container was made with fewer GPUs than the deployment asks for",
            "let IoT Edge recreate the module, so that its container follows the deployment",
        ),
    })
}

fn not_seen(gpus: &ModuleGpus) -> Option<Break> {
    let seen = gpus.visible.known()?.len();
    let wanted = match (gpus.granted.known(), gpus.asked.known()) {
        (Some(Granted { count, .. }), _) if *count != Some(0) => (*count)?,
        (_, Some(asked)) => asked.count.unwrap_or(1),
        _ => return None,
    };
    (seen < usize::try_from(wanted).unwrap_or(usize::MAX)).then_some((
        Severity::Silent,
        "a GPU of that number or name is not there, or does not answer any more",
        "compare with `edgeshift gpu`: name a GPU that is there, by its UUID; if one is lost, restart the device",
    ))
}

fn not_granted(gpus: &ModuleGpus) -> Option<Break> {
    let used = gpus.used.known()?;
    let seen = gpus.visible.known()?;
    let is_its_own = |gpu: &str, instance: Option<&str>| {
        seen.iter().any(|device| device == gpu || instance.is_some_and(|instance| device == instance))
    };
    let is_foreign = used.iter().any(|used| !is_its_own(&used.gpu, used.instance.as_deref()));
    let unasked = matches!(gpus.asked, Observed::Absent) && !used.is_empty();
    (is_foreign || unasked).then_some((
        Severity::Warn,
        "it computes on a GPU that nobody gave it: its image shows it all of them, or it is privileged",
        "ask for the GPU in the deployment, or set NVIDIA_VISIBLE_DEVICES to `none` for this module",
    ))
}

fn not_used(gpus: &ModuleGpus) -> Option<Break> {
    let idle = gpus.idle.filter(|idle| idle.secs >= IDLE)?;
    gpus.visible.known().filter(|seen| !seen.is_empty())?;
    let works = idle.processors.is_some_and(|processors| processors >= WORKS);
    Some(match (idle.computed_before, works) {
        (true, false) => (
            Severity::Info,
            "it computed on a GPU before, and has not for half an hour or more: it has nothing to do, or lost the GPU",
            "if it has work, recreate the module, which gives it the GPU anew",
        ),
        (true, true) => (
            Severity::Warn,
            "it computed on a GPU before, and only keeps the processor busy for half an hour or more: its container lost the GPU",
            "recreate the module, which gives it the GPU anew",
        ),
        (false, false) => (
            Severity::Info,
            "none of its processes computed on a GPU while EdgeShift looked: it has nothing to do, or fell back to the processor",
            "if it has work, look into its log for CUDA's first error; if it needs no GPU, free it for others",
        ),
        (false, true) => (
            Severity::Warn,
            "none of its processes computed on a GPU while EdgeShift looked, but it works: it fell back to the processor",
            "look into its log for CUDA's first error: often its CUDA is newer than the driver, or a library is missing",
        ),
    })
}

/// The whole ladder in one sentence.
fn steps(gpus: &ModuleGpus) -> String {
    let noun = |count: u32| if count == 1 { "1 GPU".to_owned() } else { format!("{count} GPUs") };
    let asked = match &gpus.asked {
        Observed::Known(asked) => asked
            .count
            .map_or_else(|| "asks for the GPUs that there are".to_owned(), |count| format!("asks for {}", noun(count))),
        Observed::Absent => "asks for no GPU".to_owned(),
        Observed::Unknown(_) => "may ask for GPUs".to_owned(),
    };
    let granted = match gpus.granted.known() {
        Some(Granted { count: Some(0), .. }) => "was given none".to_owned(),
        Some(Granted { count: Some(count), .. }) => format!("was given {count}"),
        Some(Granted { count: None, .. }) => "was given all".to_owned(),
        None => "was given an unknown number".to_owned(),
    };
    let seen = match gpus.visible.known().map(Vec::len) {
        Some(0) => "sees none".to_owned(),
        Some(count) => format!("sees {count}"),
        None => "sees an unknown number".to_owned(),
    };
    let used = match gpus.used.known().map(|used| used.iter().map(|used| used.processes).sum::<u32>()) {
        Some(0) => "no process of it computes on one".to_owned(),
        Some(1) => "1 process of it computes on one".to_owned(),
        Some(count) => format!("{count} processes of it compute on them"),
        None => "its processes cannot be seen".to_owned(),
    };
    let idle = gpus.idle.filter(|idle| idle.secs >= 60);
    let since = idle.map_or(String::new(), |idle| format!(" for {} min", idle.secs / 60));
    let busy = idle.and_then(|idle| idle.processors).filter(|processors| *processors >= WORKS);
    let busy = busy.map_or(String::new(), |processors| format!(", while it keeps {processors:.1} processors busy"));
    format!("the module {asked}, {granted}, {seen}, and {used}{since}{busy}")
}
