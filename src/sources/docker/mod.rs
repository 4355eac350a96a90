//! The Docker engine that IoT Edge runs modules on, through its socket (`iotedge-protocol.md` §C4): read only, and only
//! containers that edgeAgent owns. Needs the socket, which is full control of the host.

mod answers;
mod processor;

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    ContainerArchiveInfoOptions, DownloadFromContainerOptions, EventsOptions, ListContainersOptions, ListImagesOptions,
    ListVolumesOptions,
};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use self::answers::EngineAnswers;
use self::answers::{Past, Volumes};
use self::processor::Processor;
use super::{Look, Question, Sight, Source, process, proxy};
use crate::evidence::{Container, Engine, Mounted, PublishedPort};

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
    processor: Arc<Processor>,
}

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
        let images = answers::images(&images);
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
                    Ok(found) => {
                        let (name, container) = answers::container(&found, history, &host.volumes);
                        Ok(Some((name, host.looked_into(&found, container).await)))
                    }
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
        self.processor.forget(|id| containers.values().any(|container| container.id == id));
        past.removed.retain(|name, _| !containers.contains_key(name));
        Ok(Engine { version: version.version.unwrap_or_default(), containers, images, removed: past.removed })
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

fn filters() -> HashMap<String, Vec<String>> {
    let events = EVENTS.iter().map(|event| (*event).to_owned()).collect();
    let list = |word: &str| vec![word.to_owned()];
    HashMap::from([
        ("type".to_owned(), list("container")),
        ("label".to_owned(), list(OWNER)),
        ("event".to_owned(), events),
    ])
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
    volumes: Arc<Volumes>,
    emptiness: Emptiness,
    processor: Arc<Processor>,
}

impl Host {
    /// `container`, which was read out of `found`, with what only a look into it tells.
    async fn looked_into(&self, found: &ContainerInspectResponse, mut container: Container) -> Container {
        let is_running = container.is_running();
        if is_running {
            for port in &mut container.ports {
                port.answers = answers(&container.addresses, port).await;
            }
        }
        let pid = found.state.as_ref().and_then(|state| state.pid).filter(|_| is_running);
        let mut seen = pid.map(|pid| process::file_systems(pid, &container.id)).unwrap_or_default();
        for mount in &mut container.mounts {
            self.look_into(&container.id, mount, is_running).await;
            mount.file_system = seen.remove(mount.target.trim_end_matches('/')).or(mount.file_system.take());
        }
        let variables = answers::variables(found);
        let upstream = answers::variable(&variables, "IOTEDGE_IOTHUBHOSTNAME");
        container.proxies = proxy::proxies(variables.iter().copied(), upstream, true).await;
        if let Some(visible) = &container.gpus.visible {
            let image = self.docker.inspect_image(&container.image_id.0).await;
            container.gpus.visible_by_image = image.ok().map(|image| {
                let own = image.config.and_then(|config| config.env).unwrap_or_default();
                own.iter().any(|variable| variable.split_once('=') == Some((VISIBLE_DEVICES, visible.as_str())))
            });
        }
        if let Some(started) = container.started_at.filter(|_| is_running && !container.gpus.is_none()) {
            container.processor = self.processor.of(&self.docker, &container.id, started).await;
        }
        container
    }

    async fn look_into(&self, id: &str, mount: &mut Mounted, is_running: bool) {
        if mount.kind != "bind" {
            return;
        }
        let options = ContainerArchiveInfoOptions { path: mount.target.clone() };
        let stat = self.docker.get_container_archive_info(id, Some(options)).await;
        // The two highest bits of Go's mode are directory and append-only.
        mount.is_file = stat.ok().map(|stat| stat.file_mode >> 31 == 0);
        if is_running && mount.is_file == Some(false) {
            mount.is_empty = self.is_empty(id, &mount.target).await;
        }
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

async fn volumes(docker: &bollard::Docker) -> Volumes {
    let listed = docker.list_volumes(None::<ListVolumesOptions>).await.ok().and_then(|answer| answer.volumes);
    Volumes::of(&listed.unwrap_or_default())
}

/// The engine's words, on one line, cut where they are long.
fn reason(error: &Error) -> String {
    let text = match error {
        Error::DockerResponseServerError { status_code, message } => format!("{message} ({status_code})"),
        error => error.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
