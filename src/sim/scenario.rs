//! What happens on the device: derived from a deployment, as a GPU device would treat it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::gpus::Gpus;
use crate::evidence::{AgentTwin, Gpu, GpuDriver, ReportedModule, RuntimePlatform, RuntimeStatus};
use crate::manifest::{FPGA, GPU, Manifest, Module};
use crate::text::{self, At, Source};

/// The deployment of the built-in scenario: an FPGA deployment with the features of the migration guide's samples.
const FPGA_DEPLOYMENT: &str = include_str!("../../examples/fpga-deployment.json");

/// How long the slow module of a scenario pulls its image, counted from the start.
const PULL: Duration = Duration::from_millis(1_500);

/// A deployment, and what becomes of its modules on a device with some GPUs.
#[derive(Debug, Clone)]
pub struct Scenario {
    manifest: Manifest,
    fates: BTreeMap<String, Fate>,
    gpus: Gpus,
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

    /// Any deployment, on a device with one Tesla T4.
    pub fn of(manifest: Manifest) -> Self {
        Self::on(manifest, Gpus::one())
    }

    /// The same deployment on a device with the GPUs of a scenario, as the fake library of NVML plays it too.
    ///
    /// # Errors
    /// The text is no scenario: what is wrong with it, for people.
    pub fn with_gpus(self, scenario: &str) -> Result<Self, String> {
        Ok(Self::on(self.manifest, Gpus::read(scenario)?))
    }

    fn on(manifest: Manifest, gpus: Gpus) -> Self {
        let mut fates: BTreeMap<String, Fate> =
            manifest.modules().map(|module| (module.id().to_owned(), fate(module, gpus.count()))).collect();
        let slow = manifest.modules().filter(|module| !module.is_system()).map(Module::id);
        let slow = slow.filter(|id| fates.get(*id) == Some(&Fate::Runs)).last().map(str::to_owned);
        if let Some(slow) = slow {
            fates.insert(slow, Fate::Pulls);
        }
        Self { manifest, fates, gpus }
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

    /// The driver and the GPUs `elapsed` after the start.
    pub(super) fn gpus(&self, elapsed: Duration) -> (GpuDriver, Vec<Gpu>) {
        self.gpus.at(elapsed)
    }
}

/// What becomes of `module` on a node with so many GPUs and no FPGA.
fn fate(module: Module<'_>, gpus: usize) -> Fate {
    if module.is_stopped() {
        return Fate::Stopped;
    }
    let wanted = |resource: &str| [module.limit(resource), module.request(resource)].into_iter().flatten();
    let most = |resource: &str| wanted(resource).filter_map(At::as_i64).max().unwrap_or(0);
    let gpus = i64::try_from(gpus).unwrap_or(i64::MAX);
    if most(FPGA) > 0 || most(GPU) > gpus { Fate::Waits } else { Fate::Runs }
}
