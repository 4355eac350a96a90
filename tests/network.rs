//! The network as a module sees it, over real sockets: an embedded device with TLS, a proxy that speaks CONNECT, pages of
//! metrics, and whatever hangs or answers garbage in their place.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgeshift::agent::{Clock, look_once};
use edgeshift::evidence::{MetricsPage, Network, Observed, Reach, Snapshot};
use edgeshift::iotedge::{Identity, Proof};
use edgeshift::manifest::Manifest;
use edgeshift::sim::{Device, EmbeddedConfig, EmbeddedDevice, Scenario};
use edgeshift::sources::{OwnProcess, Ports, Source, Surroundings, WorkloadList};
use edgeshift::text;
use proptest::prelude::{any, prop};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A folder that goes when it is dropped, with a short path.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("edgeshift-net-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Something that listens on a port of this machine until it is dropped.
struct Listener {
    port: u16,
    task: JoinHandle<()>,
}

impl Listener {
    /// Does `serve` with every connection.
    async fn start<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { port, task }
    }

    /// Answers everything with `answer`; with nothing, and for ever, if it is none.
    async fn saying(answer: Option<Vec<u8>>) -> Self {
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                match answer {
                    Some(answer) => drop(stream.write_all(&answer).await),
                    None => std::future::pending().await,
                }
            }
        })
        .await
    }

    /// A web proxy that connects to `port` for those who say that they are `user`, and to nothing else.
    async fn proxy(user: &'static str, port: u16) -> Self {
        Self::start(move |stream| async move {
            let _ = connect(BufReader::new(stream), user, port).await;
        })
        .await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(mut client: BufReader<TcpStream>, user: &str, port: u16) -> std::io::Result<()> {
    let (mut head, mut line) = (String::new(), String::new());
    while line != "\r\n" {
        line.clear();
        if client.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        head.push_str(&line);
    }
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
    let credentials = format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(user));
    let refusal = if head.contains(&credentials) { "403 Forbidden" } else { "407 Proxy Authentication Required" };
    if refusal.starts_with("407") || !target.ends_with(&format!(":{port}")) {
        return client.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
    }
    let mut server = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// A port on which nobody listens.
async fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A device at `localhost` whose IoT Hub is there, too.
async fn device(folder: &Folder, listed: Option<Device>) -> (EmbeddedDevice, Identity) {
    let modules = BTreeMap::from([("us".to_owned(), json!({}))]);
    let hub = "localhost".to_owned();
    let config =
        EmbeddedConfig { iot_hub: hub.clone(), gateway: hub, listed, ..EmbeddedConfig::new(&folder.0, modules) };
    let (device, _arrivals) = EmbeddedDevice::start(config).await.unwrap();
    let environment = device.environment("us").unwrap();
    let identity = Identity::from_variables(|name| environment.get(name).cloned()).unwrap();
    (device, identity)
}

fn variables(all: &[(&str, String)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// A deployment with a module that is called `localhost` and listens on `ports`.
fn deployment(ports: &[u16]) -> Manifest {
    let ports: serde_json::Map<_, _> = ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
    let options = json!({ "ExposedPorts": ports }).to_string();
    let modules = json!({ "localhost": { "settings": { "image": "x:1", "createOptions": options } } });
    let deployment = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": { "modules": modules } } } });
    Manifest::read(&text::Source::new("deployment.json", deployment.to_string())).unwrap()
}

async fn look(source: Surroundings) -> Snapshot {
    let sources: [Arc<dyn Source>; 2] = [Arc::new(source), Arc::new(OwnProcess::new("/", Vec::new()))];
    look_once(&sources, Clock::system()).await
}

fn network(snapshot: &Snapshot) -> &Network {
    snapshot.network.known().unwrap_or_else(|| panic!("{:?}", snapshot.sources))
}

#[tokio::test]
async fn what_is_there_is_seen_straight_and_through_a_proxy() {
    let folder = Folder::new();
    let (device, identity) = device(&folder, None).await;
    let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 9\r\n\r\na 1\nb 2\n\n";
    let metrics = Listener::saying(Some(page.to_vec())).await;
    let sibling = Listener::saying(None).await;
    let proxy = Listener::proxy("user:p@ss", device.https_port()).await;
    let (amqp, gone) = (closed().await, closed().await);
    let ports =
        Ports { https: device.https_port(), mqtt: device.mqtt_port(), amqp, metrics: metrics.port, management: gone };
    let url = |password: &str| format!("http://user:{password}@127.0.0.1:{}/", proxy.port);
    let source = Surroundings::new(&identity, variables(&[("HTTPS_PROXY", url("p%40ss"))]), ports);
    source.look_for(&deployment(&[sibling.port, gone]));
    let snapshot = look(source).await;
    let seen = network(&snapshot);

    let peer = &seen.peers["localhost"];
    assert!(peer.addresses.known().is_some_and(|addresses| addresses.contains(&"127.0.0.1".to_owned())), "{peer:?}");
    assert_eq!(peer.ports, BTreeMap::from([(sibling.port, Observed::Known(())), (gone, Observed::Absent)]));
    let hub = &seen.peers["edgeHub"];
    let answers = [ports.https, ports.mqtt, ports.amqp].map(|port| hub.ports[&port].known().is_some());
    assert_eq!((hub.host.as_str(), answers), ("localhost", [true, true, false]));

    let iot_hub = seen.iot_hub.known().unwrap();
    let straight = [(ports.https, Reach::Open), (ports.mqtt, Reach::Open), (amqp, Reach::Refused)];
    assert_eq!(iot_hub.straight, BTreeMap::from(straight));
    let through = [(ports.https, Reach::Open), (ports.mqtt, Reach::Denied(403)), (amqp, Reach::Denied(403))];
    assert_eq!(iot_hub.detours.len(), 1);
    assert_eq!(iot_hub.detours[0].proxy, format!("127.0.0.1:{}", proxy.port));
    assert_eq!(iot_hub.detours[0].ports, BTreeMap::from(through));
    assert!(iot_hub.is_open(ports.https) && !iot_hub.is_open(amqp));

    let expected = MetricsPage { status: 200, format: Some("0.0.4".to_owned()), families: 2 };
    assert_eq!(seen.metrics["edgeHub"], Observed::Known(expected));
    let clock = seen.clock.known().unwrap();
    assert!(clock.beside == "localhost" && clock.ahead_secs.abs() <= 2, "{clock:?}");
    // There is no pod.
    assert!(matches!(&seen.sidecar, Observed::Unknown(why) if !why.expected));

    let json = snapshot.to_json();
    assert!(!json.contains("p@ss") && !json.contains("p%40ss") && !json.contains("user:"), "{json}");
    assert_eq!(Snapshot::from_json(&json).unwrap().to_json(), json);

    // A password that is another one.
    let source = Surroundings::new(&identity, variables(&[("https_proxy", url("hunter2"))]), ports);
    let snapshot = look(source).await;
    let through = &network(&snapshot).iot_hub.known().unwrap().detours[0].ports;
    assert!(through.values().all(|reach| *reach == Reach::Denied(407)), "{through:?}");
    assert!(!snapshot.to_json().contains("hunter2"));
}

#[tokio::test]
async fn on_kubernetes_services_are_found_by_their_variables() {
    let folder = Folder::new();
    let (device, identity) = device(&folder, None).await;
    let system = r#"{"osType":"Kubernetes","version":"0.1.0-beta13"}"#;
    let system = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{system}", system.len());
    let sidecar = Listener::saying(Some(system.into_bytes())).await;
    let gone = closed().await;
    let ports = Ports { https: device.https_port(), mqtt: gone, amqp: gone, metrics: gone, management: sidecar.port };
    let service = sidecar.port.to_string();
    let variables = variables(&[
        ("KUBERNETES_SERVICE_HOST", "172.28.0.1".to_owned()),
        ("KUBERNETES_SERVICE_PORT", "443".to_owned()),
        ("EDGEHUB_SERVICE_HOST", "172.28.3.4".to_owned()),
        ("LOCALHOST_SERVICE_HOST", "172.28.3.5".to_owned()),
        ("LOCALHOST_SERVICE_PORT", service.clone()),
        ("LOCALHOST_SERVICE_PORT_HTTP", service),
        ("LOCALHOST_PORT", "tcp://172.28.3.5:80".to_owned()),
    ]);
    let source = Surroundings::new(&identity, variables, ports);
    source.look_for(&deployment(&[]));
    let snapshot = look(source).await;
    let seen = network(&snapshot);
    assert!(seen.from_kubernetes);
    assert_eq!(seen.peers.keys().collect::<Vec<_>>(), ["edgeHub", "localhost"]);
    assert!(seen.peers.values().all(|peer| peer.has_service), "{:?}", seen.peers);
    assert_eq!(seen.peers["localhost"].ports, BTreeMap::from([(sidecar.port, Observed::Known(()))]));
    assert_eq!(seen.sidecar.known().unwrap().version.as_deref(), Some("0.1.0-beta13"));
    assert_eq!(seen.metrics.keys().collect::<Vec<_>>(), ["edgeHub"]);
    assert_eq!(seen.metrics["edgeHub"], Observed::Absent);
}

#[tokio::test]
async fn what_hangs_costs_its_own_time_only() {
    let folder = Folder::new();
    let (_device, identity) = device(&folder, None).await;
    let hangs = Listener::saying(None).await;
    let port = hangs.port;
    let ports = Ports { https: port, mqtt: port, amqp: port, metrics: port, management: port };
    let proxy = variables(&[("https_proxy", format!("http://127.0.0.1:{port}"))]);
    let started = tokio::time::Instant::now();
    let snapshot = look(Surroundings::new(&identity, proxy, ports)).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let seen = network(&snapshot);
    let iot_hub = seen.iot_hub.known().unwrap();
    let all = iot_hub.straight.values().chain(iot_hub.detours[0].ports.values());
    assert!(all.clone().count() == 2 && all.clone().all(|reach| matches!(reach, Reach::Fails(_))), "{iot_hub:?}");
    assert!(matches!(&seen.metrics["edgeHub"], Observed::Unknown(why) if why.expected));
    assert!(matches!(&seen.clock, Observed::Unknown(why) if why.expected));
    assert!(snapshot.process.known().is_some());
}

#[test]
fn garbage_on_every_port_changes_only_what_it_is_about() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = Folder::new();
    let (_device, identity) = runtime.block_on(device(&folder, None));
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let heads =
        ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nDate: ", "\u{16}\u{3}\u{3}\u{0}"];
    let strategy = (prop::sample::select(heads.to_vec()), bytes);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let judged = runner.run(&strategy, |(head, tail)| {
        let answer = [head.as_bytes(), &tail].concat();
        let snapshot = runtime.block_on(async {
            let garbage = Listener::saying(Some(answer)).await;
            let port = garbage.port;
            let ports = Ports { https: port, mqtt: port, amqp: port, metrics: port, management: port };
            let address = format!("http://u:p@127.0.0.1:{port}");
            let kubernetes = ("KUBERNETES_SERVICE_HOST", "172.28.0.1".to_owned());
            look(Surroundings::new(&identity, variables(&[("https_proxy", address), kubernetes]), ports)).await
        });
        let iot_hub = network(&snapshot).iot_hub.known().unwrap();
        let is_open = iot_hub.straight.values().any(Reach::is_open);
        let json = snapshot.to_json();
        let whole = snapshot.process.known().is_some() && Snapshot::from_json(&json).is_ok_and(|s| s.to_json() == json);
        if is_open || !whole { Err(TestCaseError::fail(json)) } else { Ok(()) }
    });
    judged.unwrap();
}

#[tokio::test]
async fn what_the_deployment_names_is_looked_for_at_once_and_what_is_known_says_its_age() {
    let folder = Folder::new();
    let (device, identity) = device(&folder, None).await;
    let gone = closed().await;
    let ports = Ports { https: device.https_port(), mqtt: gone, amqp: gone, metrics: gone, management: gone };
    let source = Surroundings::new(&identity, Vec::new(), ports);
    let first = look_once(&[Arc::new(OwnProcess::new("/", Vec::new())) as Arc<dyn Source>], Clock::system()).await;
    assert!(matches!(&first.network, Observed::Unknown(why) if !why.expected), "nobody was asked");
    source.look().await.unwrap();
    let known = Snapshot::of_manifest(deployment(&[gone]), "2026-01-01T00:00:00Z".parse().unwrap());
    source.learn(&known);
    tokio::time::timeout(Duration::from_secs(10), source.changed()).await.expect("nobody was told");
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(source.age() >= Duration::from_millis(30));
    let Ok(Some(edgeshift::sources::Sight::Network(seen))) = source.look().await else { panic!("nothing was seen") };
    assert_eq!(seen.peers["localhost"].ports, BTreeMap::from([(gone, Observed::Absent)]));
    let sources: [Arc<dyn Source>; 1] = [Arc::new(source)];
    let snapshot = look_once(&sources, Clock::system()).await;
    assert!(snapshot.sources[0].taken_at < snapshot.taken_at);
}

#[tokio::test]
async fn the_workload_api_lists_siblings_on_docker_and_says_nothing_on_kubernetes() {
    for (listed, is_docker) in [(Some(Device::start(Scenario::built_in())), true), (None, false)] {
        let folder = Folder::new();
        let (_device, identity) = device(&folder, listed).await;
        let Proof::Workload(workload) = identity.proof else { panic!("no workload API") };
        let sources: [Arc<dyn Source>; 1] = [Arc::new(WorkloadList(workload))];
        let snapshot = look_once(&sources, Clock::system()).await;
        assert_eq!(snapshot.sources[0].answer.known().is_some(), is_docker);
        match snapshot.siblings {
            Observed::Known(siblings) if is_docker => {
                let scorer = &siblings["scorer"];
                assert!(!scorer.image.is_empty() && !scorer.status.is_empty(), "{scorer:?}");
                assert!(siblings.contains_key("edgeHub"), "{siblings:?}");
            }
            Observed::Unknown(why) if !is_docker => assert!(!why.expected, "{why:?}"),
            other => panic!("{other:?}"),
        }
    }
    let workload = edgeshift::iotedge::Resource { hub: "h".into(), device: "d".into(), module: "us".into() };
    let garbage =
        Listener::saying(Some(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"modules\":7}".to_vec())).await;
    let uri = format!("http://127.0.0.1:{}", garbage.port);
    let workload = edgeshift::iotedge::Workload::new(&uri, workload, "1".into(), "2018-06-28".into()).unwrap();
    let sources: [Arc<dyn Source>; 1] = [Arc::new(WorkloadList(Arc::new(workload)))];
    let snapshot = look_once(&sources, Clock::system()).await;
    assert!(matches!(&snapshot.siblings, Observed::Unknown(why) if why.expected && why.what.contains("workload")));
}

#[test]
fn whatever_the_workload_api_answers_is_an_answer_or_an_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bodies = [
        r#"{"digest":"YSBkaWdlc3Q="}"#,
        r#"{"certificate":"-----BEGIN CERTIFICATE-----"}"#,
        r#"{"modules":[{"name":"a","config":{"settings":{"image":"i","labels":{"k":"v"}},"env":[]},"status":{"runtimeStatus":{"status":"running"}}}]}"#,
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    let strategy = (prop::sample::select(bodies.to_vec()), any::<prop::sample::Index>(), noise, any::<bool>());
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let judged = runner.run(&strategy, |(body, at, noise, keeps_rest)| {
        let (head, tail) = body.split_at(at.index(body.len()));
        let tail = if keeps_rest { tail } else { "" };
        let body = [head.as_bytes(), &noise, tail.as_bytes()].concat();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), &body].concat();
        let within = |what| TestCaseError::fail(format!("{what} of {body:?} takes ten seconds and more"));
        runtime.block_on(async {
            let listener = Listener::saying(Some(answer)).await;
            let us = edgeshift::iotedge::Resource { hub: "h".into(), device: "d".into(), module: "us".into() };
            let uri = format!("http://127.0.0.1:{}", listener.port);
            let workload = edgeshift::iotedge::Workload::new(&uri, us, "1".into(), "2018-06-28".into()).unwrap();
            let limit = Duration::from_secs(10);
            let signed = tokio::time::timeout(limit, workload.sign(b"data")).await.map_err(|_| within("sign"))?;
            let trusted = tokio::time::timeout(limit, workload.trust_bundle()).await.map_err(|_| within("trust"))?;
            let listed = tokio::time::timeout(limit, workload.modules()).await.map_err(|_| within("modules"))?;
            // One body answers one question at most.
            let answered = [signed.is_ok(), trusted.is_ok(), listed.is_ok()];
            if answered.iter().filter(|ok| **ok).count() > 1 {
                Err(TestCaseError::fail(format!("{answered:?}")))
            } else {
                Ok(())
            }
        })
    });
    judged.unwrap();
}
