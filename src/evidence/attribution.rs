//! Whose the GPUs are (`gpu.md` §4): for each module what it asks for, what it was given, what it can see and what it uses.
//! Each step says by what it was learnt, or why it is not known; a process is counted for one module or for none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::docker::NVIDIA;
use super::{Container, Gpu, GpuProcess, GpuState, Observed, Owner, Pids, ProcessorTime, Snapshot, Why};
use crate::kube_model::object_name;
use crate::manifest::{DeviceNames, GPU, GpuCount, Manifest, Module};

/// What the kubelet says of the devices that it gave away (`gpu.md` §4.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    /// What the pod of each module holds, by its name on Kubernetes; a pod without a device has an empty list.
    pub modules: BTreeMap<String, Vec<Grant>>,
    /// What can be given away at all; none where the kubelet does not say.
    pub allocatable: Option<Vec<Grant>>,
}

/// Devices of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb` …
    pub resource: String,
    /// Their ids, word for word: `GPU-…`, `GPU-…::2` where they are shared, `MIG-…`.
    pub devices: Vec<String>,
}

/// The GPUs of one module: four steps, each of which can break.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModuleGpus {
    /// What it asks for; absent where it asks for none.
    pub asked: Observed<Asked>,
    /// What it was given.
    pub granted: Observed<Granted>,
    /// The UUIDs of the GPUs, or of the parts of GPUs, that it can see and that are there.
    pub visible: Observed<Vec<String>>,
    /// What its processes use, by GPU; empty where none computes.
    pub used: Observed<Vec<GpuUse>>,
    /// Since when none of them does, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// A module that runs, and none of whose processes computes on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Idle {
    /// For so many seconds at least.
    pub secs: u64,
    /// Whether one did before, in this run of the module.
    pub computed_before: bool,
    /// How many processors it kept busy meanwhile, on average over the last half hour at most; none where nobody counts that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processors: Option<f64>,
}

/// What a module asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// How many; none where it takes whatever there is.
    pub count: Option<u32>,
    /// By what it asks.
    pub by: AskedBy,
}

/// How a module asks for GPUs (`gpu.md` §0.1, §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// The resource `nvidia.com/gpu` of Kubernetes, which is exclusive.
    Resource,
    /// `DeviceRequests` of Docker.
    DeviceRequest,
    /// The variable `NVIDIA_VISIBLE_DEVICES`, which reserves nothing.
    Variable,
    /// Docker's runtime `nvidia` alone.
    Runtime,
    /// The devices `/dev/nvidia…` by hand.
    Device,
}

/// What a module was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// How many different GPUs, or parts of GPUs, 0 for none; nothing where that is not said.
    pub count: Option<u32>,
    /// Their UUIDs, or their ids word for word where no such GPU is seen; empty where nobody says which.
    pub devices: Vec<String>,
    /// Who says so.
    pub by: GrantedBy,
}

/// Who says what a module was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantedBy {
    /// The kubelet, by its list of pod resources.
    Kubelet,
    /// The Docker engine, by the options of the container.
    Engine,
}

/// What the processes of one module use of one GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuUse {
    /// The GPU's UUID.
    pub gpu: String,
    /// The part of the GPU, where it is cut into some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// How many processes.
    pub processes: u32,
    /// Their memory, MiB; none where the driver does not know that of each.
    pub memory_mib: Option<u64>,
    /// Share of time that they kept the GPU busy, 0 to 1; none where the driver does not say.
    pub utilization: Option<f64>,
}

/// Whose a process is, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A module's.
    Module(&'a str),
    /// That of a container of which nobody knows whose it is: its id.
    Container(&'a str),
    /// The server of the Multi-Process Service.
    MpsServer,
    /// The host's own.
    Host,
    /// That cannot be told.
    Unknown,
}

impl Snapshot {
    /// The GPUs of every module that is known of, by its id.
    pub fn gpus_of_modules(&self) -> BTreeMap<String, ModuleGpus> {
        let declared: BTreeMap<&str, Module<'_>> =
            self.manifest.known().into_iter().flat_map(Manifest::modules).map(|module| (module.id(), module)).collect();
        let (engine, grants) = (self.engine.known(), self.grants.known());
        let mut ids: BTreeSet<&str> = declared.keys().copied().collect();
        ids.extend(engine.into_iter().flat_map(|engine| engine.containers.keys()).map(String::as_str));
        let names: BTreeSet<String> = ids.iter().map(|id| object_name(id)).collect();
        let pods = grants.into_iter().flat_map(|grants| grants.modules.keys());
        ids.extend(pods.filter(|name| !names.contains(*name)).map(String::as_str));
        let users = self.gpu_users();
        let of = |id: &str| {
            let module = declared.get(id).copied();
            let container = engine.and_then(|engine| engine.containers.get(id));
            let granted = self.granted(id, container);
            let used = self.used(id, container, &users);
            ModuleGpus {
                asked: self.asked(module, container),
                visible: self.visible(module, &granted),
                granted,
                idle: container.filter(|_| used.known().is_some_and(Vec::is_empty)).and_then(|c| self.idle(c)),
                used,
            }
        };
        ids.into_iter().map(|id| (id.to_owned(), of(id))).collect()
    }

    /// Whose `process` is.
    pub fn holder<'a>(&'a self, process: &'a GpuProcess) -> Holder<'a> {
        let ids = match &process.owner {
            Owner::Container(ids) => ids,
            Owner::MpsServer => return Holder::MpsServer,
            Owner::Host => return Holder::Host,
            Owner::Unknown => return Holder::Unknown,
        };
        let containers = self.engine.known().map(|engine| &engine.containers);
        let module_of = |id: &String| {
            let mut containers = containers.into_iter().flatten();
            containers.find(|(_, container)| !id.is_empty() && container.id == *id).map(|(module, _)| module.as_str())
        };
        // The outermost that is known: what is below it is the work of that container, whatever it calls itself.
        match ids.iter().find_map(module_of) {
            Some(module) => Holder::Module(module),
            None => ids.last().map_or(Holder::Unknown, |id| Holder::Container(id)),
        }
    }

    fn asked(&self, module: Option<Module<'_>>, container: Option<&Container>) -> Observed<Asked> {
        if let Some(module) = module {
            return declared(module).map_or(Observed::Absent, Observed::Known);
        }
        match container {
            Some(container) => ordered(container).map_or(Observed::Absent, Observed::Known),
            None => Observed::Unknown(unknown(&self.manifest, "the deployment manifest")),
        }
    }

    fn granted(&self, id: &str, container: Option<&Container>) -> Observed<Granted> {
        if let Some(grants) = self.grants.known() {
            return match grants.modules.get(&object_name(id)) {
                None => Observed::Unknown(Why::not_given("a pod of the module: the kubelet lists none")),
                Some(grants) => Observed::Known(self.given_by_kubelet(grants)),
            };
        }
        match (container, &self.engine, &self.grants) {
            (Some(container), ..) => Observed::Known(self.given_by_engine(container)),
            (None, Observed::Known(_), _) => Observed::Unknown(Why::not_given("a container of the module")),
            (_, _, Observed::Unknown(why)) if why.expected => Observed::Unknown(why.clone()),
            (_, engine, _) => {
                Observed::Unknown(unknown(engine, "who was given which GPU (the kubelet or the Docker engine)"))
            }
        }
    }

    fn given_by_kubelet(&self, grants: &[Grant]) -> Granted {
        let gpus = self.gpus.known().map_or(&[][..], Vec::as_slice);
        // Names of NVIDIA's resources, also renamed or of other vendors, all name their GPUs alike.
        let ids = grants.iter().flat_map(|grant| &grant.devices);
        let devices: BTreeSet<String> =
            ids.map(|id| resolve(id, gpus).unwrap_or_else(|| whole(id).to_owned())).collect();
        let count = u32::try_from(devices.len()).ok();
        Granted { count, devices: devices.into_iter().collect(), by: GrantedBy::Kubelet }
    }

    fn given_by_engine(&self, container: &Container) -> Granted {
        let gpus = self.gpus.known().map_or(&[][..], Vec::as_slice);
        let options = &container.gpus;
        let listed: Vec<&str> =
            options.requests.iter().flat_map(|request| &request.devices).map(String::as_str).collect();
        let counts: Vec<i64> = options.requests.iter().map(|request| request.count).collect();
        let by_engine = |count: Option<usize>, devices: Vec<String>| {
            let count = count.and_then(|count| u32::try_from(count).ok());
            Granted { count, devices, by: GrantedBy::Engine }
        };
        let named = |names: &[&str]| {
            let all = names.iter().map(|name| resolve(name, gpus).unwrap_or_else(|| (*name).to_owned()));
            let devices: BTreeSet<String> = all.collect();
            by_engine(Some(devices.len()), devices.into_iter().collect())
        };
        let all = || match self.sees_all().then(|| everything(gpus)) {
            Some(devices) => by_engine(Some(devices.len()), devices),
            None => by_engine(None, Vec::new()),
        };
        if listed.iter().any(|name| name.ends_with("=all") || *name == "all") || counts.contains(&-1) {
            return all();
        }
        if !listed.is_empty() {
            return named(&listed);
        }
        let number: i64 = counts.iter().filter(|count| **count > 0).sum();
        if number > 0 {
            // Which ones is not said, unless it is all.
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let every = everything(gpus);
            let devices = if self.sees_all() && every.len() == number { every } else { Vec::new() };
            return by_engine(Some(number), devices);
        }
        if options.runtime.starts_with(NVIDIA)
            && let Some(visible) = options.visible.as_deref().map(DeviceNames).filter(|visible| !visible.is_none())
        {
            if visible.is_all() {
                return all();
            }
            return named(&visible.names().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        }
        let by_hand: Vec<&str> = options.devices.iter().filter_map(|path| number_of_device(path)).collect();
        named(&by_hand)
    }

    fn visible(&self, module: Option<Module<'_>>, granted: &Observed<Granted>) -> Observed<Vec<String>> {
        let gpus = match &self.gpus {
            Observed::Known(gpus) => gpus,
            Observed::Absent => return Observed::Known(Vec::new()),
            Observed::Unknown(why) => return Observed::Unknown(why.clone()),
        };
        let there = |devices: Vec<String>| {
            let up: BTreeSet<String> =
                gpus.iter().filter(|gpu| gpu.state == GpuState::Up).flat_map(|gpu| parts(gpu, true)).collect();
            let (seen, missing): (Vec<_>, Vec<_>) = devices.into_iter().partition(|device| up.contains(device));
            let lost = |device: &String| gpus.iter().any(|gpu| parts(gpu, true).any(|part| part == *device));
            // What is not in our list is gone only where our list is the whole one.
            if self.sees_all() || missing.iter().all(lost) {
                Observed::Known(seen)
            } else {
                Observed::Unknown(Why::not_given("a GPU that was not given to EdgeShift's own container"))
            }
        };
        let by_variable = |missing: Observed<Vec<String>>| match module
            .and_then(Module::visible_devices)
            .map(|visible| visible.devices())
        {
            None => missing,
            Some(visible) if visible.is_none() => Observed::Known(Vec::new()),
            Some(visible) if visible.is_all() => there(everything(gpus)),
            Some(visible) => {
                let names = visible.names().into_iter();
                there(names.map(|(name, _)| resolve(name, gpus).unwrap_or_else(|| name.to_owned())).collect())
            }
        };
        match granted {
            Observed::Known(granted) if granted.count == Some(0) => match granted.by {
                // Where the engine gave none, none is seen, whatever the variable says.
                GrantedBy::Engine => Observed::Known(Vec::new()),
                // On Kubernetes the variable shows GPUs that nobody granted (`gpu.md` §0.1).
                GrantedBy::Kubelet => by_variable(Observed::Known(Vec::new())),
            },
            Observed::Known(granted) if granted.devices.is_empty() => {
                Observed::Unknown(Why::not_given("which GPUs they are: the engine names none"))
            }
            Observed::Known(granted) => there(granted.devices.clone()),
            Observed::Absent | Observed::Unknown(_) => {
                by_variable(Observed::Unknown(Why::not_given("which GPUs the module was given")))
            }
        }
    }

    /// Since when none of the processes of a container that runs was seen on a GPU.
    fn idle(&self, container: &Container) -> Option<Idle> {
        let driver = self.gpu_driver.known()?;
        let up = self.taken_at.duration_since(container.started_at.filter(|_| container.is_running())?);
        let up = u64::try_from(up.as_secs()).ok()?;
        let last = driver.last_used_secs.get(&container.id).copied().filter(|last| *last <= up);
        let secs = last.unwrap_or(up.min(driver.watched_secs?));
        let processors = container.processor.and_then(ProcessorTime::processors);
        Some(Idle { secs, computed_before: last.is_some(), processors })
    }

    fn used(
        &self,
        id: &str,
        container: Option<&Container>,
        users: &Observed<BTreeMap<String, Vec<GpuUse>>>,
    ) -> Observed<Vec<GpuUse>> {
        let users = match users {
            Observed::Known(users) => users,
            Observed::Absent => return Observed::Known(Vec::new()),
            Observed::Unknown(why) => return Observed::Unknown(why.clone()),
        };
        if let Some(used) = users.get(id) {
            return Observed::Known(used.clone());
        }
        let mut processes = self.gpus.known().into_iter().flatten().flat_map(|gpu| gpu.processes.iter().flatten());
        if processes.any(|process| process.owner == Owner::Unknown) {
            return Observed::Unknown(Why::not_given("whose process one of those on the GPUs is"));
        }
        match container.filter(|container| !container.id.is_empty()) {
            Some(_) => Observed::Known(Vec::new()),
            None => Observed::Unknown(Why::not_given("the container of the module")),
        }
    }

    /// What the processes on the GPUs use, by module.
    fn gpu_users(&self) -> Observed<BTreeMap<String, Vec<GpuUse>>> {
        let gpus = match &self.gpus {
            Observed::Known(gpus) => gpus,
            Observed::Absent => return Observed::Absent,
            Observed::Unknown(why) => return Observed::Unknown(why.clone()),
        };
        match self.gpu_driver.known().map(|driver| driver.pids) {
            Some(Pids::Host) => {}
            Some(Pids::Own) => {
                return Observed::Unknown(Why::not_given(
                    "the processes of other containers: EdgeShift has a process namespace of its own (PidMode `host` shows them)",
                ));
            }
            Some(Pids::Unasked) | None => return Observed::Unknown(Why::not_given("the processes on the GPUs")),
        }
        if gpus.iter().any(|gpu| gpu.state == GpuState::Up && gpu.processes.is_none()) {
            return Observed::Unknown(Why::not_given("the processes on the GPUs: their driver lists none"));
        }
        let mut users: BTreeMap<String, Vec<GpuUse>> = BTreeMap::new();
        for gpu in gpus {
            for ((module, instance), processes) in self.shares(gpu) {
                let share = share(gpu, instance, &processes);
                users.entry(module.to_owned()).or_default().push(share);
            }
        }
        Observed::Known(users)
    }

    /// The processes of modules on `gpu`, by module and part of the GPU, each once.
    fn shares<'a>(&'a self, gpu: &'a Gpu) -> BTreeMap<(&'a str, Option<&'a str>), Vec<&'a GpuProcess>> {
        let mut shares: BTreeMap<(&str, Option<&str>), Vec<&GpuProcess>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for process in gpu.processes.iter().flatten().filter(|process| seen.insert(process.pid)) {
            if let Holder::Module(module) = self.holder(process) {
                shares.entry((module, process.instance.as_deref())).or_default().push(process);
            }
        }
        shares
    }

    /// Whether we see every GPU that there is: on the host itself, or in a container that was given all.
    fn sees_all(&self) -> bool {
        let Some(process) = self.process.known() else { return false };
        process.module.is_none() || process.visible_devices.as_deref().is_some_and(|value| DeviceNames(value).is_all())
    }
}

/// What a module asks for as it was written. What asks for nothing in so many words (`none`) asks for nothing.
fn declared(module: Module<'_>) -> Option<Asked> {
    let number = |count: i64| u32::try_from(count).ok();
    if let Some(limit) = module.limit(GPU) {
        let count = limit.as_i64().and_then(number);
        return (count != Some(0)).then_some(Asked { count, by: AskedBy::Resource });
    }
    let ways = module.docker_gpus();
    let most = ways.iter().map(|way| way.count).max();
    if let Some(most @ (GpuCount::Some(_) | GpuCount::All)) = most {
        let count = if let GpuCount::Some(count) = most { number(count) } else { None };
        return Some(Asked { count, by: AskedBy::DeviceRequest });
    }
    if let Some(visible) = module.visible_devices().map(|visible| visible.devices()) {
        return by_variable(visible);
    }
    most.map(|_| {
        let by_hand = module.option(&["HostConfig", "Runtime"]).is_none();
        Asked { count: None, by: if by_hand { AskedBy::Device } else { AskedBy::Runtime } }
    })
}

/// What a container was made to ask for, where nobody knows how its module was written.
fn ordered(container: &Container) -> Option<Asked> {
    let options = &container.gpus;
    if !options.requests.is_empty() {
        let named: usize = options.requests.iter().map(|request| request.devices.len()).sum();
        let number: i64 = options.requests.iter().map(|request| request.count.max(0)).sum();
        let count = u32::try_from(number).ok().filter(|count| *count > 0).or(u32::try_from(named).ok());
        return Some(Asked { count: count.filter(|count| *count > 0), by: AskedBy::DeviceRequest });
    }
    // CUDA's images bring the variable along; that asks for nothing.
    let own = options.visible.as_deref().filter(|_| options.visible_by_image == Some(false));
    if let Some(visible) = own.map(DeviceNames) {
        return by_variable(visible);
    }
    (!options.devices.is_empty()).then_some(Asked { count: None, by: AskedBy::Device })
}

fn by_variable(visible: DeviceNames<'_>) -> Option<Asked> {
    let count = if visible.is_all() { None } else { u32::try_from(visible.names().len()).ok() };
    (!visible.is_none() && count != Some(0)).then_some(Asked { count, by: AskedBy::Variable })
}

/// What `processes` of one module use. Where the driver's figures for single processes come to more than the GPU has, they are
/// worth nothing.
fn share(gpu: &Gpu, instance: Option<&str>, processes: &[&GpuProcess]) -> GpuUse {
    let own = processes.iter().try_fold(0_u64, |sum, process| sum.checked_add(process.memory_mib?));
    let mut seen = BTreeSet::new();
    let mut all = gpu.processes.iter().flatten().filter(|process| seen.insert(process.pid));
    let everybody = all.try_fold(0_u64, |sum, process| sum.checked_add(process.memory_mib.unwrap_or(0)));
    let adds_up = everybody.zip(gpu.memory_total_mib).is_some_and(|(sum, total)| sum <= total);
    let busy: Vec<f64> = processes.iter().filter_map(|process| process.utilization).collect();
    GpuUse {
        gpu: gpu.uuid.clone(),
        instance: instance.map(str::to_owned),
        processes: u32::try_from(processes.len()).unwrap_or(u32::MAX),
        memory_mib: own.filter(|_| adds_up),
        utilization: (!busy.is_empty()).then(|| busy.iter().sum::<f64>().min(1.0)),
    }
}

/// The GPUs that there are; of one that is cut its parts.
fn everything(gpus: &[Gpu]) -> Vec<String> {
    gpus.iter().flat_map(|gpu| parts(gpu, false)).collect()
}

/// The parts of a GPU that is cut, with the GPU itself if `whole`; else the GPU.
fn parts(gpu: &Gpu, whole: bool) -> impl Iterator<Item = String> {
    let parts = gpu.instances.iter().flatten().map(|instance| instance.uuid.clone());
    let itself = (whole || gpu.instances.is_none()).then(|| gpu.uuid.clone());
    itself.into_iter().chain(parts)
}

/// The id without what tells apart those who share it.
fn whole(id: &str) -> &str {
    id.split("::").next().unwrap_or(id)
}

/// The UUID that `name` stands for: a number, a UUID or its beginning, a part of a GPU, or a name of the kubelet (`gpu.md` §4.3).
fn resolve(name: &str, gpus: &[Gpu]) -> Option<String> {
    let name = whole(name);
    let name = name.strip_prefix("nvidia.com/gpu=").unwrap_or(name);
    let at = |index: &str| index.parse().ok().and_then(|index: u32| gpus.iter().find(|gpu| gpu.index == index));
    let of_uuid = |uuid: &str| {
        let mut found = gpus.iter().filter(|gpu| uuid.len() > 4 && gpu.uuid.starts_with(uuid));
        found.next().filter(|_| found.next().is_none())
    };
    if let Some(place) = name.strip_prefix("MIG-GPU-") {
        let mut words = place.split('/');
        let gpu = of_uuid(&format!("GPU-{}", words.next()?))?;
        let (gpu_instance, compute_instance) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut parts = gpu.instances.iter().flatten();
        let part = parts.find(|p| (p.gpu_instance, p.compute_instance) == (gpu_instance, compute_instance))?;
        return Some(part.uuid.clone());
    }
    if name.starts_with("MIG-") {
        let mut parts = gpus.iter().flat_map(|gpu| gpu.instances.iter().flatten());
        return parts.find(|part| part.uuid == name).map(|part| part.uuid.clone());
    }
    if name.starts_with("GPU-") {
        return of_uuid(name).map(|gpu| gpu.uuid.clone());
    }
    match name.split_once(':') {
        Some((gpu, part)) => {
            let part: usize = part.parse().ok()?;
            at(gpu)?.instances.as_ref()?.get(part).map(|part| part.uuid.clone())
        }
        None => at(name.strip_prefix(NVIDIA).unwrap_or(name)).map(|gpu| gpu.uuid.clone()),
    }
}

/// The number in `/dev/nvidia0`; other devices of that name are for all GPUs.
fn number_of_device(path: &str) -> Option<&str> {
    let number = path.strip_prefix("/dev/nvidia")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// Why `observed` says nothing.
fn unknown<T>(observed: &Observed<T>, what: &'static str) -> Why {
    match observed {
        Observed::Unknown(why) => why.clone(),
        _ => Why::not_given(what),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::{DriverState, Engine, GpuDriver, GpuInstance};

    const A: &str = "3fb1c2d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0";
    const B: &str = "0ffeeddccbbaa99887766554433221100f9e8d7c6b5a49382716f0e5d4c2b13f";

    fn gpus() -> Vec<Gpu> {
        let part = |n: u32| GpuInstance { uuid: format!("MIG-{n}"), gpu_instance: n, ..GpuInstance::default() };
        let gpu = |index: u32, uuid: &str| Gpu { uuid: uuid.to_owned(), index, ..Gpu::default() };
        vec![gpu(0, "GPU-aaaa1111"), Gpu { instances: Some(vec![part(7), part(9)]), ..gpu(1, "GPU-bbbb2222") }]
    }

    #[test]
    fn every_name_of_a_gpu_finds_it() {
        let gpus = gpus();
        for (name, expected) in [
            ("0", Some("GPU-aaaa1111")),
            ("nvidia0", Some("GPU-aaaa1111")),
            ("nvidia.com/gpu=1", Some("GPU-bbbb2222")),
            ("GPU-aaaa", Some("GPU-aaaa1111")),
            ("GPU-aaaa1111::3", Some("GPU-aaaa1111")),
            ("MIG-9", Some("MIG-9")),
            ("1:0", Some("MIG-7")),
            ("MIG-GPU-bbbb2222/9/0", Some("MIG-9")),
            ("MIG-GPU-bbbb2222/8/0", None),
            ("2", None),
            ("GPU-", None),
            ("GPU-cccc", None),
            ("", None),
        ] {
            assert_eq!(resolve(name, &gpus).as_deref(), expected, "{name}");
        }
    }

    fn owner() -> impl Strategy<Value = Owner> {
        let of = |ids: &[&str]| Owner::Container(ids.iter().map(|id| (*id).to_owned()).collect());
        prop_oneof![
            Just(of(&[A])),
            Just(of(&[B])),
            Just(of(&[A, B])),
            Just(of(&["c0"])),
            Just(Owner::Host),
            Just(Owner::MpsServer),
            Just(Owner::Unknown),
        ]
    }

    proptest! {
        #[test]
        fn no_process_is_credited_twice(
            list in proptest::collection::vec((1..6_u32, proptest::option::of(0..20_000_u64), owner(), any::<bool>()), 0..12),
        ) {
            let process = |(pid, memory_mib, owner, part): &(u32, Option<u64>, Owner, bool)| GpuProcess {
                pid: *pid,
                memory_mib: *memory_mib,
                owner: owner.clone(),
                instance: part.then(|| "MIG-7".to_owned()),
                ..GpuProcess::default()
            };
            let mut snapshot = Snapshot::empty("2026-01-01T00:00:00Z".parse().unwrap());
            let total = 15_360;
            let all: Vec<Gpu> = gpus()
                .into_iter()
                .map(|gpu| Gpu { processes: Some(list.iter().map(process).collect()), memory_total_mib: Some(total), ..gpu })
                .collect();
            snapshot.see_gpus(GpuDriver { state: DriverState::Up, pids: Pids::Host, gpus: 2, ..GpuDriver::default() }, all);
            let container = |id: &str| Container { id: id.to_owned(), ..Container::default() };
            let containers = [("a".to_owned(), container(A)), ("b".to_owned(), container(B))].into();
            snapshot.engine = Observed::Known(Engine { containers, ..Engine::default() });
            let modules = snapshot.gpus_of_modules();
            for gpu in snapshot.gpus.known().into_iter().flatten() {
                let pids: BTreeSet<u32> = list.iter().map(|(pid, ..)| *pid).collect();
                let used = modules.values().filter_map(|of| of.used.known()).flatten().filter(|used| used.gpu == gpu.uuid);
                let (count, memory) = used.fold((0, 0), |(count, memory), used| {
                    (count + used.processes as usize, memory + used.memory_mib.unwrap_or(0))
                });
                prop_assert!(count <= pids.len() && memory <= total, "{} processes, {} MiB", count, memory);
            }
        }

        #[test]
        fn any_text_may_stand_for_a_gpu(name in "\\PC{0,24}") {
            let found = resolve(&name, &gpus());
            prop_assert!(found.is_none_or(|uuid| uuid.starts_with("GPU-") || uuid.starts_with("MIG-")));
        }
    }
}
