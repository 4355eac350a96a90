//! The Docker engine that IoT Edge runs modules on, through its socket (`iotedge-protocol.md` §C4): read only, and only
//! containers that edgeAgent owns. Needs the socket, which is full control of the host.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, EventMessage, HostConfig, MountPoint};
use bollard::query_parameters::{
    ContainerArchiveInfoOptions, DownloadFromContainerOptions, EventsOptions, ListContainersOptions, ListImagesOptions,
    ListVolumesOptions, StatsOptions,
};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Look, Question, Sight, Source, proxy};
use crate::evidence::{
    Container, ContainerStatus, DeviceRequest, Engine, GpuOptions, History, ImageId, Limits, Mounted, ProcessorTime,
    PublishedPort,
};

/// What edgeAgent writes on its containers.
const OWNER: &str = "net.azure-devices.edge.owner=Microsoft.Azure.Devices.Edge.Agent";
/// How far back events are read. The engine keeps the last few hundred.
const WINDOW: Duration = Duration::from_secs(600);
/// What can happen to a container that matters here.
const EVENTS: [&str; 11] =
    ["create", "start", "die", "oom", "kill", "restart", "destroy", "pause", "unpause", "update", "health_status"];
/// How long a port of a container on the same host may take to answer.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);
/// The variable by which NVIDIA's runtime is told which GPUs to hand in.
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";
/// How long the first bytes of a directory may take.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a directory that has something in it is taken to have something in it.
const FRESH: Duration = Duration::from_secs(600);
/// How long the figures of a container may take; engines before 20.10 look at them twice, a second apart.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(2);
/// Over which time it is counted how busy a container keeps the processor, and how far apart what is remembered of it is.
const PROCESSOR: Duration = Duration::from_secs(30 * 60);
const PROCESSOR_STEP: Duration = Duration::from_secs(60);
/// The size of a head in a tar archive, bytes; behind the last file come two of zeros.
const TAR_BLOCK: usize = 512;
/// The pause before an engine that went away is watched again.
const PAUSE: Duration = Duration::from_secs(2);
/// The largest answer to a question about one container is far smaller; so many containers are looked at, at most.
const MAX_CONTAINERS: usize = 500;

/// The engine at one address.
pub struct Docker {
    address: String,
    /// The moment of the last event that was seen, ns since 1970.
    seen: Mutex<Option<i64>>,
    /// Whether it was away when it was watched last.
    is_away: AtomicBool,
    emptiness: Emptiness,
    processor: Processor,
}

/// The processor time of containers by their id: what they had used when since they were started, ns, the oldest first.
type Processor = Arc<Mutex<HashMap<String, VecDeque<(Timestamp, u64)>>>>;

/// Which directories were empty when somebody looked, by container id and path. A look lists the whole directory, so
/// what was full is taken for full for [`FRESH`].
type Emptiness = Arc<Mutex<HashMap<(String, String), (Instant, Option<bool>)>>>;

impl Docker {
    /// The engine at `address`: `unix:///var/run/docker.sock` or `tcp://host:port`. Nothing is connected yet.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            seen: Mutex::new(None),
            is_away: AtomicBool::new(false),
            emptiness: Arc::default(),
            processor: Arc::default(),
        }
    }

    /// Connects, in a version of the interface that both speak.
    async fn connect(&self) -> Result<bollard::Docker, String> {
        let docker = bollard::Docker::connect_with_host(&self.address);
        let docker = docker.map_err(|error| format!("cannot use {}: {error}", self.address))?;
        let reached = docker.negotiate_version().await;
        reached.map_err(|error| format!("cannot reach the engine at {}: {}", self.address, reason(&error)))
    }

    async fn engine(&self) -> Result<Engine, String> {
        let docker = self.connect().await?;
        let failed = |what: &str, error: Error| format!("cannot {what}: {}", reason(&error));
        let version = docker.version().await.map_err(|error| failed("ask for the version", error))?;
        let filters = Some(HashMap::from([("label".to_owned(), vec![OWNER.to_owned()])]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let listed = docker.list_containers(Some(options)).await.map_err(|error| failed("list containers", error))?;
        let images = docker.list_images(None::<ListImagesOptions>).await;
        let images = images.map_err(|error| failed("list images", error))?;
        let mut past = self.past(&docker).await?;
        let volumes = Arc::new(volumes(&docker).await);
        if let Ok(mut emptiness) = self.emptiness.lock() {
            emptiness.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        let mut looks = JoinSet::new();
        for id in listed.into_iter().filter_map(|container| container.id).take(MAX_CONTAINERS) {
            let history = past.histories.remove(&id).unwrap_or_default();
            let host = Host {
                docker: docker.clone(),
                volumes: Arc::clone(&volumes),
                emptiness: Arc::clone(&self.emptiness),
                processor: Arc::clone(&self.processor),
            };
            looks.spawn(async move {
                let answer = host.docker.inspect_container(&id, None).await;
                match answer {
                    Ok(found) => Ok(Some(container(&host, found, history).await)),
                    // It went away since it was listed.
                    Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                    Err(error) => Err(reason(&error)),
                }
            });
        }
        let mut containers: BTreeMap<String, Container> = BTreeMap::new();
        while let Some(look) = looks.join_next().await {
            let found = look.map_err(|_| "a look at a container broke, a fault of ours".to_owned())?;
            containers.extend(found.map_err(|why| format!("cannot inspect a container: {why}"))?);
        }
        if let Ok(mut processor) = self.processor.lock() {
            processor.retain(|id, _| containers.values().any(|container| container.id == *id));
        }
        let names = images.into_iter().flat_map(|image| {
            let id = ImageId(image.id);
            let names = image.repo_tags.into_iter().chain(image.repo_digests);
            names.map(move |name| (name, id.clone()))
        });
        past.removed.retain(|name, _| !containers.contains_key(name));
        Ok(Engine {
            version: version.version.unwrap_or_default(),
            containers,
            images: names.filter(|(name, _)| !name.starts_with("<none>")).collect(),
            removed: past.removed,
        })
    }

    /// What the engine remembers of the last minutes.
    async fn past(&self, docker: &bollard::Docker) -> Result<Past, String> {
        let info = docker.info().await.map_err(|error| format!("cannot ask for the time: {}", reason(&error)))?;
        // The engine's own clock: ours may be another.
        let now: Timestamp = info.system_time.unwrap_or_default().parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let (until, since) = (now.as_second(), now.as_second() - WINDOW.as_secs().cast_signed());
        let options = EventsOptions {
            since: Some(since.to_string()),
            until: Some(format!("{until}.{:09}", now.subsec_nanosecond())),
            filters: Some(filters()),
        };
        let mut events = Box::pin(docker.events(Some(options)));
        let mut past = Past::default();
        while let Some(event) = events.next().await {
            past.add(&event.map_err(|error| format!("cannot read the engine's events: {}", reason(&error)))?);
        }
        Ok(past)
    }

    /// Waits until something happens to a container, or until the engine is back.
    async fn wait(&self) -> Result<(), String> {
        let docker = self.connect().await?;
        if self.is_away.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let seen = self.seen.lock().ok().and_then(|seen| *seen);
        let since = seen.map(|at| format!("{}.{:09}", (at + 1) / 1_000_000_000, (at + 1) % 1_000_000_000));
        let options = EventsOptions { since, until: None, filters: Some(filters()) };
        let mut events = Box::pin(docker.events(Some(options)));
        match events.next().await {
            Some(Ok(event)) => {
                if let Ok(mut seen) = self.seen.lock() {
                    *seen = event.time_nano.or(*seen);
                }
                Ok(())
            }
            Some(Err(error)) => Err(reason(&error)),
            None => Err("the engine ended".to_owned()),
        }
    }
}

impl Source for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn question(&self) -> Question {
        Question::Engine
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async { self.engine().await.map(|engine| Some(Sight::Engine(Box::new(engine)))) })
    }

    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // An engine that went away is news once, and so is one that is back.
            while self.wait().await.is_err() && self.is_away.swap(true, Ordering::Relaxed) {
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}

/// What happened to containers, from the engine's events.
#[derive(Debug, Default)]
struct Past {
    /// By container id.
    histories: HashMap<String, History>,
    /// Containers that were sent a signal and have not ended since.
    asked: HashSet<String>,
    /// By module id.
    removed: BTreeMap<String, Timestamp>,
}

impl Past {
    fn add(&mut self, event: &EventMessage) {
        let Some(actor) = &event.actor else { return };
        let id = actor.id.clone().unwrap_or_default();
        let attribute = |name: &str| actor.attributes.as_ref().and_then(|attributes| attributes.get(name));
        let history = self.histories.entry(id.clone()).or_default();
        history.window_secs = WINDOW.as_secs();
        match event.action.as_deref().unwrap_or_default() {
            "start" => {
                history.starts += 1;
                self.asked.remove(&id);
            }
            "kill" => {
                self.asked.insert(id);
            }
            "oom" => history.out_of_memory += 1,
            "die" if self.asked.remove(&id) => history.stops += 1,
            "die" => {
                history.deaths += 1;
                history.last_death = attribute("exitCode").and_then(|code| code.parse().ok());
            }
            "destroy" => {
                let at = event.time.and_then(|secs| Timestamp::from_second(secs).ok());
                if let (Some(name), Some(at)) = (attribute("name"), at) {
                    self.removed.insert(name.clone(), at);
                }
            }
            _ => {}
        }
    }
}

fn filters() -> HashMap<String, Vec<String>> {
    let events = EVENTS.iter().map(|event| (*event).to_owned()).collect();
    let list = |word: &str| vec![word.to_owned()];
    HashMap::from([
        ("type".to_owned(), list("container")),
        ("label".to_owned(), list(OWNER)),
        ("event".to_owned(), events),
    ])
}

/// A container and the id of its module, which is its name.
async fn container(host: &Host, found: ContainerInspectResponse, history: History) -> (String, Container) {
    let (state, config) = (found.state.unwrap_or_default(), found.config.unwrap_or_default());
    let config_of_host = found.host_config.unwrap_or_default();
    let id = found.id.unwrap_or_default();
    let name = found.name.unwrap_or_default().trim_start_matches('/').to_owned();
    let networks = found.network_settings.unwrap_or_default();
    let mut addresses: Vec<String> =
        networks.networks.into_iter().flatten().filter_map(|(_, at)| at.ip_address).collect();
    addresses.retain(|address| !address.is_empty());
    addresses.sort();
    let env = config.env.unwrap_or_default();
    let variables: Vec<(&str, &str)> = env.iter().filter_map(|variable| variable.split_once('=')).collect();
    let variable =
        |name: &str| variables.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let is_running = state.running.unwrap_or(false);
    let published = networks.ports.unwrap_or_default().into_iter().flat_map(|(port, bindings)| {
        bindings
            .unwrap_or_default()
            .into_iter()
            .filter_map(move |binding| published(&port, binding.host_port.as_deref()))
    });
    let mut ports: Vec<PublishedPort> = published.collect();
    ports.sort_by(|a, b| (a.host, &a.protocol).cmp(&(b.host, &b.protocol)));
    // One line for each port, though it is bound for both versions of IP.
    ports.dedup();
    if is_running {
        for port in &mut ports {
            port.answers = answers(&addresses, port).await;
        }
    }
    let mut mounts = Vec::new();
    for mount in found.mounts.unwrap_or_default() {
        mounts.push(host.mounted(&id, mount, is_running).await);
    }
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    let proxies = proxy::proxies(variables.iter().copied(), variable("IOTEDGE_IOTHUBHOSTNAME"), true).await;
    let moment = |text: Option<String>| {
        let moment: Option<Timestamp> = text.and_then(|text| text.parse().ok());
        // Docker's "never" is in the year 1.
        moment.filter(|moment| *moment > Timestamp::UNIX_EPOCH)
    };
    let image_id = ImageId(found.image.unwrap_or_default());
    let gpus = gpu_options(&host.docker, &config_of_host, &variables, &image_id).await;
    let started_at = moment(state.started_at);
    let processor = match started_at.filter(|_| is_running && !gpus.is_none()) {
        Some(started) => host.processor(&id, started).await,
        None => None,
    };
    let container = Container {
        gpus,
        processor,
        id,
        image: config.image.unwrap_or_default(),
        image_id,
        status: status(state.status),
        health: state.health.and_then(|health| health.status).map(|status| status.to_string()).filter(|s| s != "none"),
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or(false),
        restarts: found.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        started_at,
        finished_at: moment(state.finished_at),
        history,
        limits: Limits {
            memory: config_of_host.memory.filter(|memory| *memory > 0),
            nano_cpus: config_of_host.nano_cpus.filter(|cpus| *cpus > 0),
        },
        mounts,
        network: config_of_host.network_mode.unwrap_or_default(),
        addresses,
        ports,
        proxies,
        no_proxy: variable("no_proxy").map(str::to_owned),
    };
    (name, container)
}

/// What decides about the GPUs of a container.
async fn gpu_options(
    docker: &bollard::Docker,
    host: &HostConfig,
    variables: &[(&str, &str)],
    image: &ImageId,
) -> GpuOptions {
    let requests = host.device_requests.iter().flatten().filter(|request| {
        let capabilities = request.capabilities.iter().flatten().flatten();
        let ids = request.device_ids.iter().flatten();
        request.driver.as_deref() == Some("nvidia")
            || capabilities.into_iter().any(|name| name == "gpu")
            || ids.into_iter().any(|id| id.starts_with("nvidia.com/"))
    });
    let requests = requests.map(|request| DeviceRequest {
        count: request.count.unwrap_or_default(),
        devices: request.device_ids.clone().unwrap_or_default(),
    });
    let devices = host.devices.iter().flatten().filter_map(|device| device.path_on_host.clone());
    let visible = variables.iter().find(|(name, _)| *name == VISIBLE_DEVICES).map(|(_, value)| (*value).to_owned());
    let visible_by_image = match &visible {
        None => None,
        Some(value) => docker.inspect_image(&image.0).await.ok().map(|image| {
            let own = image.config.and_then(|config| config.env).unwrap_or_default();
            own.iter().any(|variable| variable.split_once('=') == Some((VISIBLE_DEVICES, value.as_str())))
        }),
    };
    GpuOptions {
        runtime: host.runtime.clone().unwrap_or_default(),
        requests: requests.collect(),
        devices: devices.filter(|path| path.starts_with("/dev/nvidia")).collect(),
        visible,
        visible_by_image,
        mps: variables.iter().any(|(name, _)| name.starts_with("CUDA_MPS_")),
    }
}

fn status(status: Option<ContainerStateStatusEnum>) -> ContainerStatus {
    match status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerStatus::Created,
        Some(ContainerStateStatusEnum::RUNNING) => ContainerStatus::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerStatus::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerStatus::Restarting,
        Some(ContainerStateStatusEnum::EXITED) => ContainerStatus::Exited,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerStatus::Removing,
        Some(ContainerStateStatusEnum::DEAD) => ContainerStatus::Dead,
        _ => ContainerStatus::Unknown,
    }
}

/// `80/tcp` and the port of the host.
fn published(port: &str, host: Option<&str>) -> Option<PublishedPort> {
    let (container, protocol) = port.split_once('/')?;
    Some(PublishedPort {
        container: container.parse().ok()?,
        protocol: protocol.to_owned(),
        host: host?.parse().ok()?,
        answers: None,
    })
}

/// Whether the container takes connections. Docker's own proxy on the host takes all, so the container is asked.
async fn answers(addresses: &[String], port: &PublishedPort) -> Option<bool> {
    let address = addresses.first().filter(|_| port.protocol == "tcp")?;
    match timeout(PORT_TIMEOUT, TcpStream::connect((address.as_str(), port.container))).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Some(false),
        // There may be no way from here to there.
        _ => None,
    }
}

/// What a look at one container needs of its host.
struct Host {
    docker: bollard::Docker,
    /// The file systems of volumes that name theirs.
    volumes: Arc<BTreeMap<String, String>>,
    emptiness: Emptiness,
    processor: Processor,
}

impl Host {
    async fn mounted(&self, id: &str, mount: MountPoint, is_running: bool) -> Mounted {
        let target = mount.destination.unwrap_or_default();
        let kind = mount.typ.unwrap_or_default();
        let options = ContainerArchiveInfoOptions { path: target.clone() };
        // The two highest bits of Go's mode are directory and append-only.
        let is_file = match kind.as_str() {
            "bind" => {
                let stat = self.docker.get_container_archive_info(id, Some(options)).await;
                stat.ok().map(|stat| stat.file_mode >> 31 == 0)
            }
            _ => None,
        };
        let is_empty = if is_running && is_file == Some(false) { self.is_empty(id, &target).await } else { None };
        let file_system = mount.name.as_ref().and_then(|name| self.volumes.get(name)).cloned();
        let (source, read_only) = (mount.source.unwrap_or_default(), !mount.rw.unwrap_or(true));
        Mounted { kind, source, target, read_only, is_file, is_empty, file_system }
    }

    /// How busy a container has kept the processor lately, which runs since `started`.
    async fn processor(&self, id: &str, started: Timestamp) -> Option<ProcessorTime> {
        let options = StatsOptions { stream: false, one_shot: true };
        let mut figures = Box::pin(self.docker.stats(id, Some(options)));
        let figures = timeout(FIGURES_TIMEOUT, figures.next()).await.ok()??.ok()?;
        // The engine's own clock, as the start is.
        let now: Timestamp = figures.read?.parse().ok()?;
        let used = figures.cpu_stats?.cpu_usage?.total_usage?;
        let mut processor = self.processor.lock().ok()?;
        Some(lately(processor.entry(id.to_owned()).or_default(), started, now, used))
    }

    async fn is_empty(&self, id: &str, path: &str) -> Option<bool> {
        let key = (id.to_owned(), path.to_owned());
        // What was empty is looked at again: that costs nothing, and the first file is news.
        let known = self.emptiness.lock().ok()?.get(&key).map(|(_, known)| *known);
        if let Some(known) = known.filter(|known| *known != Some(true)) {
            return known;
        }
        let found = is_empty(&self.docker, id, path).await;
        self.emptiness.lock().ok()?.insert(key, (Instant::now(), found));
        found
    }
}

/// The processor time of a container that runs since `started` and had `used` so many ns by `now`, over the last [`PROCESSOR`];
/// adds that to what was `seen` of it.
fn lately(seen: &mut VecDeque<(Timestamp, u64)>, started: Timestamp, now: Timestamp, used: u64) -> ProcessorTime {
    let is_older = |(at, before): &(Timestamp, u64)| *at < started || *before > used;
    // It was started again, and counts anew.
    if seen.is_empty() || seen.iter().any(is_older) {
        seen.clear();
        seen.push_back((started, 0));
    }
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    if seen.back().is_some_and(|(at, _)| since(*at) >= PROCESSOR_STEP) {
        seen.push_back((now, used));
    }
    while seen.get(1).is_some_and(|(at, _)| since(*at) >= PROCESSOR) {
        seen.pop_front();
    }
    let (first, before) = seen.front().copied().unwrap_or((started, 0));
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    ProcessorTime { used_ms: ms(Duration::from_nanos(used.saturating_sub(before))), of_ms: ms(since(first)) }
}

/// Whether nothing is in the directory `path` of the container: in the archive that the engine makes of it, nothing
/// follows the directory's own head. No more than that is read.
async fn is_empty(docker: &bollard::Docker, id: &str, path: &str) -> Option<bool> {
    let options = DownloadFromContainerOptions { path: path.to_owned() };
    let mut archive = Box::pin(docker.download_from_container(id, Some(options)));
    let look = async {
        let mut head = Vec::new();
        while head.len() < 2 * TAR_BLOCK {
            head.extend_from_slice(&archive.next().await?.ok()?);
        }
        Some(head[TAR_BLOCK..2 * TAR_BLOCK].iter().all(|byte| *byte == 0))
    };
    timeout(ARCHIVE_TIMEOUT, look).await.ok().flatten()
}

/// The file systems that the options of volumes name, by volume. The other options may hold passwords.
async fn volumes(docker: &bollard::Docker) -> BTreeMap<String, String> {
    let listed = docker.list_volumes(None::<ListVolumesOptions>).await.ok().and_then(|answer| answer.volumes);
    let volumes = listed.unwrap_or_default().into_iter();
    volumes.filter_map(|volume| Some((volume.name, volume.options.get("type")?.clone()))).collect()
}

/// The engine's words, on one line, cut where they are long.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { status_code, message } => format!("{message} ({status_code})"),
        error => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_last_half_hour() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let mut seen = VecDeque::new();
        let mut over = |started, minute, used_s: u64| {
            let time = lately(&mut seen, at(started), at(minute), used_s * 1_000_000_000);
            (time.used_ms / 1000, time.of_ms / 60_000)
        };
        // Nobody looked before: what it used since its start.
        assert_eq!(over(0, 100, 6_000), (6_000, 100));
        assert_eq!(over(0, 110, 6_000), (6_000, 110));
        assert_eq!(over(0, 129, 6_900), (6_900, 129));
        // From then on what was seen half an hour ago, or a little earlier.
        assert_eq!(over(0, 131, 7_020), (1_020, 31));
        assert_eq!(over(0, 139, 7_500), (1_500, 39));
        assert_eq!(over(0, 140, 7_560), (1_560, 30));
        // Started again.
        assert_eq!(over(150, 160, 60), (60, 10));
        assert_eq!(over(150, 150, 0), (0, 0));
    }
}
