//! The network around the module, without any right (`ase-runtime.md` §2.3 and §4): whether siblings, edgeHub and IoT Hub
//! can be reached, and through which proxy. What is asked holds no secret but what a proxy needs.

#![expect(clippy::disallowed_methods, reason = "the system's clock is compared with another one")]

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::proxy::{self, Place};
use super::{Look, Question, Sight, Source, probe};
use crate::evidence::{
    ClockOffset, Detour, IotHub, MetricsPage, Network, Observed, Peer, ProxyAnswer, Reach, Sidecar, Snapshot, Why,
};
use crate::iotedge::{Identity, Proof, Workload};
use crate::kube_model::{Calls, Service, object_name, service_variable};
use crate::manifest::{Manifest, Protocol};

/// How long somebody on the device may take.
const NEAR: Duration = Duration::from_millis(1_500);
/// How long IoT Hub may take, TLS included.
const FAR: Duration = Duration::from_millis(3_500);
/// How old an answer may become, more or less, before it is looked again. IoT Hub and proxies are not ours to flood.
const REST: Duration = Duration::from_secs(30);
/// So many modules are looked for at most, and so many ports of each. A deployment has 50 modules (`migration-rules.md` HUB-007).
const MAX_PEERS: usize = 64;
const MAX_PORTS: usize = 16;
/// The module that everybody connects to, and the one that made them all.
const EDGE_HUB: &str = "edgeHub";
const EDGE_AGENT: &str = "edgeAgent";
/// What the sidecar answers without asking who it is (`ase-runtime.md` §2.3).
const SYSTEM_INFO: &str = "/systeminfo?api-version=2018-06-28";

/// Where things listen. The defaults are those of every device; tests have others.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// HTTPS and WebSockets of edgeHub and IoT Hub.
    pub https: u16,
    /// AMQP of both.
    pub amqp: u16,
    /// MQTT of both.
    pub mqtt: u16,
    /// Metrics of edgeHub and edgeAgent (`iotedge-protocol.md` §B8).
    pub metrics: u16,
    /// The management API of the sidecar.
    pub management: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { https: 443, amqp: 5671, mqtt: 8883, metrics: 9600, management: 35000 }
    }
}

/// The network, seen by one module.
pub struct Surroundings {
    module: String,
    gateway: String,
    hub: String,
    workload: Option<Arc<Workload>>,
    variables: Vec<(String, String)>,
    ports: Ports,
    /// The ports of each module that the deployment names, by id.
    declared: Mutex<BTreeMap<String, BTreeSet<u16>>>,
    /// Told when the deployment names others.
    learned: Notify,
    last: Mutex<Option<(Network, Instant)>>,
}

/// A module to look for.
#[derive(Debug, Default)]
struct Target {
    host: String,
    ports: BTreeSet<u16>,
    has_service: bool,
}

impl Surroundings {
    /// What `identity` sees, with its environment. Nothing is asked yet.
    pub fn new(identity: &Identity, variables: Vec<(String, String)>, ports: Ports) -> Self {
        let workload = match &identity.proof {
            Proof::Workload(workload) => Some(Arc::clone(workload)),
            Proof::Key(..) => None,
        };
        Self {
            module: identity.resource.module.clone(),
            gateway: identity.gateway.clone(),
            hub: identity.resource.hub.clone(),
            workload,
            variables,
            ports,
            declared: Mutex::default(),
            learned: Notify::new(),
            last: Mutex::default(),
        }
    }

    /// Looks for the modules of `manifest` from now on.
    pub fn look_for(&self, manifest: &Manifest) {
        let declared = declared(manifest, self.is_on_kubernetes());
        let mut known = lock(&self.declared);
        if *known != declared {
            *known = declared;
            self.learned.notify_one();
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `ase-runtime.md` §1.
    fn is_on_kubernetes(&self) -> bool {
        self.variable("KUBERNETES_SERVICE_HOST").is_some()
    }

    /// Looks at everything at once.
    async fn network(&self) -> Network {
        let proxies = proxy::places(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let (peers, metrics, sidecar, (iot_hub, hubs_date), gateways_date) = tokio::join!(
            self.peers(),
            self.metrics(),
            self.sidecar(),
            iot_hub(&self.hub, &proxies, self.ports),
            date(&self.gateway, self.ports.https),
        );
        // IoT Hub's clock is the one that judges tokens; edgeHub's is often our own.
        let clock = hubs_date.or(gateways_date);
        Network {
            from_kubernetes: self.is_on_kubernetes(),
            peers,
            iot_hub: Observed::Known(iot_hub),
            sidecar,
            metrics,
            clock: clock.map_or_else(
                || Observed::Unknown(Why::failed("neither IoT Hub nor edgeHub tells the time over HTTPS")),
                Observed::Known,
            ),
        }
    }

    async fn peers(&self) -> BTreeMap<String, Peer> {
        let mut looks = JoinSet::new();
        for (id, target) in self.targets().await.into_iter().take(MAX_PEERS) {
            looks.spawn(async move { (id, target.look().await) });
        }
        looks.join_all().await.into_iter().collect()
    }

    /// edgeHub, what the deployment names, what IoT Edge lists, and what Kubernetes' variables name.
    async fn targets(&self) -> BTreeMap<String, Target> {
        let kubernetes = self.is_on_kubernetes();
        let named = |id: &str| if kubernetes { object_name(id) } else { id.to_owned() };
        // With a connection string the module is where its developer is, and knows no siblings' names.
        let is_among_siblings = kubernetes || self.workload.is_some();
        let mut ids = if is_among_siblings { lock(&self.declared).clone() } else { BTreeMap::new() };
        // On Kubernetes the list is empty, which says nothing.
        if let Some(workload) = self.workload.as_ref().filter(|_| !kubernetes) {
            let listed = timeout(NEAR, workload.modules()).await;
            for sibling in listed.ok().and_then(Result::ok).unwrap_or_default() {
                ids.entry(sibling.name).or_default();
            }
        }
        ids.remove(&self.module);
        let mut targets: BTreeMap<String, Target> = BTreeMap::new();
        for (id, ports) in ids {
            let target = Target { host: named(&id), ports, has_service: false };
            targets.insert(id, target);
        }
        for (name, service) in services(&self.variables) {
            let of_module = targets.keys().find(|id| service_variable(id) == name).cloned();
            let host = name.to_ascii_lowercase().replace('_', "-");
            // Of the cluster itself, and of the daemon; neither is a module.
            if ["kubernetes", "iotedged"].contains(&host.as_str()) || service_variable(&self.module) == name {
                continue;
            }
            let id = of_module.unwrap_or_else(|| if host == "edgehub" { EDGE_HUB.to_owned() } else { host.clone() });
            let target = targets.entry(id).or_insert_with(|| Target { host, ..Target::default() });
            target.has_service = true;
            target.ports.extend(service);
        }
        let Ports { https, amqp, mqtt, .. } = self.ports;
        let edge_hub = targets.entry(EDGE_HUB.to_owned()).or_default();
        edge_hub.host.clone_from(&self.gateway);
        edge_hub.ports.extend([https, amqp, mqtt]);
        // On Kubernetes only what has ports has a name; edgeAgent has neither.
        targets.retain(|id, target| !kubernetes || (id != EDGE_AGENT && !target.ports.is_empty()));
        targets
    }

    async fn metrics(&self) -> BTreeMap<String, Observed<MetricsPage>> {
        let edge_agent = async {
            // On Kubernetes edgeAgent makes none (K8S-KI).
            if self.is_on_kubernetes() { None } else { Some(self.page_of_metrics(EDGE_AGENT).await) }
        };
        let (edge_hub, edge_agent) = tokio::join!(self.page_of_metrics(&self.gateway), edge_agent);
        let pages = [(EDGE_HUB, Some(edge_hub)), (EDGE_AGENT, edge_agent)];
        pages.into_iter().filter_map(|(id, page)| Some((id.to_owned(), page?))).collect()
    }

    async fn page_of_metrics(&self, host: &str) -> Observed<MetricsPage> {
        let port = self.ports.metrics;
        let look = async {
            let stream = match TcpStream::connect((host, port)).await {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(error.kind().to_string()),
            };
            let page = probe::page(stream, &format!("{host}:{port}"), "/metrics").await?;
            let content = page.headers.get("content-type").and_then(|content| content.to_str().ok());
            let body = String::from_utf8_lossy(&page.body);
            Ok(Some(MetricsPage::of(page.status.as_u16(), content, &body)))
        };
        let failed =
            |why: String| Observed::Unknown(Why::failed(format!("cannot read metrics of {host}:{port}: {why}")));
        match timeout(NEAR, look).await {
            Ok(Ok(Some(page))) => Observed::Known(page),
            Ok(Ok(None)) => Observed::Absent,
            Ok(Err(why)) => failed(why),
            Err(_) => failed(late(NEAR)),
        }
    }

    async fn sidecar(&self) -> Observed<Sidecar> {
        if !self.is_on_kubernetes() {
            return Observed::not_given("a pod of Kubernetes");
        }
        let port = self.ports.management;
        let look = async {
            match TcpStream::connect(("localhost", port)).await {
                Ok(stream) => match probe::page(stream, &format!("localhost:{port}"), SYSTEM_INFO).await {
                    Ok(page) => Observed::Known(Sidecar::of(page.status.as_u16(), &page.body)),
                    Err(_) => Observed::Known(Sidecar { status: None, version: None }),
                },
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Observed::Absent,
                Err(error) => Observed::Unknown(Why::failed(format!("cannot reach the sidecar: {}", error.kind()))),
            }
        };
        let slow = |_| Observed::Unknown(Why::failed(format!("the sidecar gave {}", late(NEAR))));
        timeout(NEAR, look).await.unwrap_or_else(slow)
    }

    fn keep(&self, network: &Network) {
        *lock(&self.last) = Some((network.clone(), Instant::now()));
    }
}

impl Source for Surroundings {
    fn name(&self) -> &'static str {
        "network"
    }

    fn question(&self) -> Question {
        Question::Network
    }

    /// What was seen last, while [`Source::changed`] keeps that fresh.
    fn look(&self) -> Look<'_> {
        Box::pin(async {
            let last = lock(&self.last).clone().filter(|(_, at)| at.elapsed() < REST * 2);
            let network = if let Some((network, _)) = last {
                network
            } else {
                let network = self.network().await;
                self.keep(&network);
                network
            };
            Ok(Some(Sight::Network(Box::new(network))))
        })
    }

    fn age(&self) -> Duration {
        lock(&self.last).as_ref().map_or(Duration::ZERO, |(_, at)| at.elapsed())
    }

    fn learn(&self, known: &Snapshot) {
        if let Some(manifest) = known.manifest.known() {
            self.look_for(manifest);
        }
    }

    /// Looks again in time, a little sooner or later each time, so that devices that started together part.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(REST.mul_f64(0.9 + 0.2 * chance())) => {}
                    () = self.learned.notified() => {}
                }
                let network = self.network().await;
                let is_news = lock(&self.last).as_ref().is_none_or(|(last, _)| !last.is_like(&network));
                self.keep(&network);
                if is_news {
                    return;
                }
            }
        })
    }
}

impl Target {
    async fn look(self) -> Peer {
        let Self { host, ports, has_service } = self;
        let found = timeout(NEAR, probe::addresses(&host)).await;
        let slow = |what: &str| Why::failed(format!("{what}: {}", late(NEAR)));
        let addresses = found.unwrap_or_else(|_| Observed::Unknown(slow(&format!("cannot look up {host}"))));
        let mut tried = JoinSet::new();
        // Where there is no name, nothing can be tried.
        if addresses.known().is_some() {
            for port in ports.into_iter().take(MAX_PORTS) {
                let host = host.clone();
                tried.spawn(async move {
                    let answer = timeout(NEAR, probe::port(&host, port)).await;
                    let why = || slow(&format!("cannot connect to {host}:{port}"));
                    (port, answer.unwrap_or_else(|_| Observed::Unknown(why())))
                });
            }
        }
        Peer { addresses, ports: tried.join_all().await.into_iter().collect(), host, has_service }
    }
}

/// The TCP ports of each module of `manifest` that somebody may call: on Kubernetes those of its Service, on Docker those
/// of its container; and what other modules are told to call.
fn declared(manifest: &Manifest, kubernetes: bool) -> BTreeMap<String, BTreeSet<u16>> {
    let mut ports: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for module in manifest.modules().filter(|module| !module.is_stopped()) {
        let service = Service::of(module);
        let tcp = service.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
        let listening = tcp.map(|port| if kubernetes { port.number } else { port.target });
        ports.entry(module.id().trim_start_matches('$').to_owned()).or_default().extend(listening);
    }
    for call in Calls::of(manifest).all().filter(|call| !call.callee.is_stopped()) {
        ports.entry(call.callee.id().to_owned()).or_default().extend(call.address.port);
    }
    ports
}

/// The Services that Kubernetes' variables name, `<NAME>_SERVICE_HOST` and `<NAME>_SERVICE_PORT[_…]`, with their ports.
fn services(variables: &[(String, String)]) -> BTreeMap<String, BTreeSet<u16>> {
    let hosts = variables.iter().filter_map(|(name, _)| name.strip_suffix("_SERVICE_HOST"));
    let ports = |service: &str| {
        let of_service = variables.iter().filter(|(name, _)| {
            let rest = name.strip_prefix(service).and_then(|rest| rest.strip_prefix("_SERVICE_PORT"));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        of_service.filter_map(|(_, value)| value.trim().parse().ok()).collect()
    };
    hosts.filter(|host| !host.is_empty()).map(|host| (host.to_owned(), ports(host))).collect()
}

/// IoT Hub straight and through every proxy, and the time that it tells.
async fn iot_hub(hub: &str, proxies: &[Place], ports: Ports) -> (IotHub, Option<ClockOffset>) {
    let mut looks = JoinSet::new();
    for port in [ports.https, ports.amqp, ports.mqtt] {
        for place in std::iter::once(None).chain(proxies.iter().cloned().map(Some)) {
            let hub = hub.to_owned();
            looks.spawn(async move {
                let look = reach(&hub, port, place.as_ref(), port == ports.https);
                let slow = |_| (Reach::Fails(late(FAR)), None);
                let (reach, clock) = timeout(FAR, look).await.unwrap_or_else(slow);
                (place.map(|place| place.address), port, reach, clock)
            });
        }
    }
    let mut found = IotHub { host: hub.to_owned(), ..IotHub::default() };
    let mut detours: BTreeMap<String, BTreeMap<u16, Reach>> = BTreeMap::new();
    let mut time = None;
    for (proxy, port, reach, clock) in looks.join_all().await {
        time = time.or(clock);
        match proxy {
            None => found.straight.insert(port, reach),
            Some(proxy) => detours.entry(proxy).or_default().insert(port, reach),
        };
    }
    found.detours = detours.into_iter().map(|(proxy, ports)| Detour { proxy, ports }).collect();
    (found, time)
}

/// Goes to `port` of `host`, through a proxy if there is one, as far as TLS; over HTTPS also asks for the time.
async fn reach(host: &str, port: u16, place: Option<&Place>, is_https: bool) -> (Reach, Option<ClockOffset>) {
    let stream = match place {
        Some(place) => place.tunnel(host, port).await.map_err(|answer| match answer {
            ProxyAnswer::Refuses(status) => Reach::Denied(status),
            ProxyAnswer::Fails(why) => Reach::Fails(format!("the proxy cannot be used: {why}")),
            ProxyAnswer::Connects | ProxyAnswer::Listens => Reach::Fails("the proxy did not connect".to_owned()),
        }),
        None => straight(host, port).await,
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(reach) => return (reach, None),
    };
    let stream = match probe::tls(stream, host).await {
        Ok(stream) => stream,
        Err(why) => return (Reach::NoTls(why), None),
    };
    let clock = if is_https { told(stream, host).await } else { None };
    (Reach::Open, clock)
}

async fn straight(host: &str, port: u16) -> Result<TcpStream, Reach> {
    match probe::addresses(host).await {
        Observed::Known(_) => {}
        Observed::Absent => return Err(Reach::Fails("there is no such name".to_owned())),
        Observed::Unknown(why) => return Err(Reach::Fails(why.what.into_owned())),
    }
    TcpStream::connect((host, port)).await.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Reach::Refused,
        kind => Reach::Fails(kind.to_string()),
    })
}

/// The time that edgeHub tells.
async fn date(host: &str, port: u16) -> Option<ClockOffset> {
    let look = async {
        let stream = TcpStream::connect((host, port)).await.ok()?;
        told(probe::tls(stream, host).await.ok()?, host).await
    };
    timeout(NEAR, look).await.ok().flatten()
}

/// The time in the head of any answer.
async fn told(stream: TlsStream<TcpStream>, host: &str) -> Option<ClockOffset> {
    let page = timeout(NEAR, probe::page(stream, host, "/")).await.ok()?.ok()?;
    ClockOffset::of(host, page.headers.get("date")?.to_str().ok()?, Timestamp::now())
}

fn late(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f64())
}

/// A number from 0 to 1 that is another one on every device.
fn chance() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
