//! What happens on the device: derived from a deployment, as a GPU device would treat it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::evidence::{AgentTwin, Gpu, GpuDriver, ReportedModule, RuntimePlatform, RuntimeStatus};
use crate::manifest::{FPGA, GPU, Manifest, Module};
use crate::text::{self, At, Source};

/// The deployment of the built-in scenario: an FPGA deployment with the features of the migration guide's samples.
const FPGA_DEPLOYMENT: &str = include_str!("../../examples/fpga-deployment.json");

/// How long the slow module of a scenario pulls its image, counted from the start.
const PULL: Duration = Duration::from_millis(1_500);

/// A deployment, and what becomes of its modules on a device with one Tesla T4.
#[derive(Debug, Clone)]
pub struct Scenario {
    manifest: Manifest,
    fates: BTreeMap<String, Fate>,
    gpus: u8,
}

/// What becomes of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It runs.
    Runs,
    /// Its image is pulled for [`PULL`], then it runs.
    Pulls,
    /// It asks for what no node has, so it never gets a container.
    Waits,
    /// It is to be stopped: IoT Edge does not report it.
    Stopped,
}

impl Scenario {
    /// The built-in FPGA deployment.
    ///
    /// # Panics
    /// If the file in the repository is no deployment, which a test rules out.
    pub fn built_in() -> Self {
        let source = Source::new("examples/fpga-deployment.json", FPGA_DEPLOYMENT);
        let manifest = Manifest::read(&source).expect("internal error: the built-in deployment must read");
        Self::of(manifest)
    }

    /// Any deployment.
    pub fn of(manifest: Manifest) -> Self {
        let mut fates: BTreeMap<String, Fate> =
            manifest.modules().map(|module| (module.id().to_owned(), fate(module))).collect();
        let slow = manifest.modules().filter(|module| !module.is_system()).map(Module::id);
        let slow = slow.filter(|id| fates.get(*id) == Some(&Fate::Runs)).last().map(str::to_owned);
        if let Some(slow) = slow {
            fates.insert(slow, Fate::Pulls);
        }
        Self { manifest, fates, gpus: 1 }
    }

    /// The deployment.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What IoT Edge reports of the modules `elapsed` after the start, in the agent's words (`ase-runtime.md` §2.7).
    pub(super) fn modules(&self, elapsed: Duration) -> BTreeMap<String, ReportedModule> {
        let reported = |(id, fate): (&String, &Fate)| {
            let (status, description) = match fate {
                Fate::Stopped => return None,
                Fate::Pulls if elapsed < PULL => {
                    (RuntimeStatus::Backoff, "Module in Back-off reason: ContainerCreating".to_owned())
                }
                Fate::Runs | Fate::Pulls => (RuntimeStatus::Running, "Started".to_owned()),
                Fate::Waits => (
                    RuntimeStatus::Failed,
                    "Module Failed with container status Unknown More Info: K8s reason:  with message: ".to_owned(),
                ),
            };
            Some((id.clone(), ReportedModule { status, description, exit_code: 0, since: None }))
        };
        self.fates.iter().filter_map(reported).collect()
    }

    /// What the agent reports of itself: the deployment is applied, on a cluster of one master and one worker.
    pub(super) fn agent() -> AgentTwin {
        let (os, architecture) = (Some("Kubernetes".to_owned()), Some("amd64".to_owned()));
        AgentTwin {
            desired_version: Some(1),
            last_version: Some(1),
            code: Some(200),
            platform: RuntimePlatform { os, architecture, nodes: Some(2) },
            ..AgentTwin::default()
        }
    }

    /// The modules that have a container, as the workload API lists them on Docker: of their options only the labels
    /// (`iotedge-protocol.md` §C2a).
    pub(super) fn listed(&self, elapsed: Duration) -> Vec<Value> {
        let running = self.modules(elapsed);
        let listed = |module: Module<'_>| {
            let state = running.get(module.id())?;
            let image = module.entry().get("settings").and_then(|settings| settings.get("image")).and_then(At::as_str);
            let labels = module.option(&["Labels"]).map(text::compact);
            let labels = labels.and_then(|labels| serde_json::from_str(&labels).ok()).unwrap_or_else(|| json!({}));
            Some(json!({
                "id": "id",
                "name": module.id().trim_start_matches('$'),
                "type": "docker",
                "config": { "settings": { "image": image, "createOptions": { "Labels": labels } }, "env": [] },
                "status": { "runtimeStatus": { "status": state.status.word() } },
            }))
        };
        self.manifest.modules().filter_map(listed).collect::<Vec<Value>>()
    }

    /// The driver of the GPUs, as Azure Stack Edge 2102 has it (`gpu.md` §0.2).
    pub(super) fn driver(&self) -> GpuDriver {
        let (version, cuda) = (Some("460.32.03".to_owned()), Some("11.2".to_owned()));
        GpuDriver { version, cuda, gpus: self.gpus.into(), ..GpuDriver::default() }
    }

    /// The GPUs over the second that ends `elapsed` after the start: busy in waves once the slow module runs.
    pub(super) fn gpus(&self, elapsed: Duration) -> Vec<Gpu> {
        (0..self.gpus).map(|index| tesla_t4(index, elapsed)).collect()
    }
}

fn tesla_t4(index: u8, elapsed: Duration) -> Gpu {
    let busy = |at: f64| if at < PULL.as_secs_f64() { 0.0 } else { 0.55 + 0.35 * (at * 2.0).sin() };
    // The driver keeps about six samples a second (`gpu.md` §0.5); a window of one second is looked at.
    let end = elapsed.as_secs_f64();
    let samples: Vec<f64> = (0..6).map(|i| busy((end - f64::from(i) / 6.0).max(0.0))).collect();
    let mean = samples.iter().sum::<f64>() / 6.0;
    let max = samples.iter().copied().fold(0.0, f64::max);
    Gpu {
        uuid: format!("GPU-5a1f7c1e-2f5c-4c5e-9a34-1f0c2d9b7e1{index}"),
        name: "Tesla T4".to_owned(),
        index: index.into(),
        utilization_mean: Some(mean),
        utilization_max: Some(max),
        memory_used_mib: Some(if end < PULL.as_secs_f64() { 3 } else { 1_930 }),
        // As `nvidia-smi` shows it on the device (`ase-runtime.md` §2.5).
        memory_total_mib: Some(15_109),
        temperature_c: Some(if mean > 0.0 { 47 } else { 38 }),
        power_w: Some(9.5 + 55.0 * mean),
        persistence: Some(true),
        ..Gpu::default()
    }
}

/// What becomes of `module` on a node with one GPU and no FPGA.
fn fate(module: Module<'_>) -> Fate {
    if module.is_stopped() {
        return Fate::Stopped;
    }
    let wanted = |resource: &str| [module.limit(resource), module.request(resource)].into_iter().flatten();
    let most = |resource: &str| wanted(resource).filter_map(At::as_i64).max().unwrap_or(0);
    if most(FPGA) > 0 || most(GPU) > 1 { Fate::Waits } else { Fate::Runs }
}
