use serde_json::json;

use crate::engine::{Check, Context, Need, Verdict};
use crate::finding::{Finding, Fix, Safety, Severity};
use crate::kube_model::quantity;
use crate::manifest::{GPU, Module, Mounted, PodVolume, docker_gpu_request, is_given};
use crate::target::Platform;
use crate::text::At;

rule! {
    /// # Said to Kubernetes only
    ///
    /// Docker passes over `k8s-experimental` without a word. A manifest may carry both, each platform reads its own;
    /// but what stands there **only** is lost in an Ubuntu VM: limits, the GPU, the user, volumes.
    ///
    /// ## Example
    ///
    /// ```json,fails
    /// { "k8s-experimental": { "resources": { "limits": { "memory": "256Mi" } } } }
    /// ```
    ///
    /// ## Use instead
    ///
    /// ```json,passes
    /// { "HostConfig": { "Memory": 268435456 },
    ///   "k8s-experimental": { "resources": { "limits": { "memory": "256Mi" } } } }
    /// ```
    ///
    /// ## Fix
    ///
    /// Asks: the same is said to Docker, in `HostConfig`, and what is there for Kubernetes stays. Volumes need a
    /// person.
    id: "resources-extensions-ignored",
    codes: &["RES-006"],
    severity: Severity::Info,
    fix: Safety::Ask,
    needs: &[Need::CreateOptions],
    targets: &[Platform::AseVm],
    seed: &["resources.limits"],
    source: "`iotedge-k8s-doc`, `createoptions_extensions.md`; GPUs in the VM: ASE-GPUVM",
    check: Check::Module(check),
}

fn check(module: Module<'_>, _: &Context<'_>) -> Verdict {
    if module.option(&["k8s-experimental"]).is_none() {
        return Verdict::NotApplicable;
    }
    let has = |names: &[&str]| names.iter().any(|name| module.option(&["HostConfig", name]).is_some_and(is_given));
    let amount =
        |at: At<'_>| at.as_text().and_then(quantity::thousandths).and_then(|amount| i64::try_from(amount).ok());
    let memory = module.limit("memory").filter(|_| !has(&["Memory"])).map(|at| {
        let bytes = amount(at).map(|amount| amount / 1000);
        finding(at, said(module, &["HostConfig", "Memory"], bytes.map(|bytes| json!(bytes))))
    });
    let cpu = module.limit("cpu").filter(|_| !has(&["NanoCpus", "CpuQuota"])).map(|at| {
        let nanos = amount(at).and_then(|amount| amount.checked_mul(1_000_000));
        finding(at, said(module, &["HostConfig", "NanoCpus"], nanos.map(|nanos| json!(nanos))))
    });
    let gpu = module.limit(GPU).filter(|_| module.docker_gpus().is_empty()).map(|at| {
        let request = at.as_i64().map(|count| json!([docker_gpu_request(count)]));
        finding(at, said(module, &["HostConfig", "DeviceRequests"], request))
    });
    let user = module.option(&["k8s-experimental", "securityContext", "runAsUser"]);
    let user = user
        .filter(|_| module.option(&["User"]).is_none())
        .map(|at| finding(at, said(module, &["User"], at.as_text().map(|user| json!(user)))));
    let volumes = module.pod_volumes();
    let volumes = volumes.iter().flat_map(PodVolume::mounts).filter_map(|(_, target)| volume(module, target));
    Verdict::Judged([memory, cpu, gpu, user].into_iter().flatten().chain(volumes).collect())
}

fn finding(at: At<'_>, fix: Fix) -> Finding {
    let key = at.key().unwrap_or_default();
    Finding::new(Severity::Info, format!("`{key}` is said to Kubernetes only"))
        .at(at.member_span(), "not read by Docker")
        .because("in the VM the module runs without it")
        .fix(fix)
}

/// The same for Docker at `keys`, where its value is known.
fn said(module: Module<'_>, keys: &[&str], value: Option<serde_json::Value>) -> Fix {
    let place = keys.join(".");
    match value {
        Some(value) => module.set_option(Fix::ask(format!("say it to Docker too, in `{place}`")), keys, value),
        None => Fix::advice(format!("say it to Docker too, in `{place}`")),
    }
}

/// A mount of the pod for which Docker has nothing at the same path.
fn volume(module: Module<'_>, target: At<'_>) -> Option<Finding> {
    let path = target.as_str()?;
    let points = module.mount_points();
    let mounted = points.iter().any(|point| point.target == path && !matches!(point.from, Mounted::Pod(_)))
        || module.option(&["HostConfig", "Tmpfs", path]).is_some()
        || path == "/dev/shm" && module.option(&["HostConfig", "ShmSize"]).is_some_and(is_given);
    (!mounted).then(|| {
        let way_out = match path {
            "/dev/shm" => "give Docker the size in `HostConfig.ShmSize`",
            _ => "mount something there for Docker too, in `HostConfig.Mounts`",
        };
        Finding::new(Severity::Info, format!("what is mounted at `{path}` is said to Kubernetes only"))
            .at(target.member_span(), "not read by Docker")
            .because("in the VM the module runs without it")
            .fix(Fix::advice(way_out))
    })
}
