//! The whole module on the embedded device: the real agent over real sockets and TLS, as IoT Hub and a monitor see it.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[expect(dead_code, reason = "most clients are for other tests")]
mod sockets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edgeshift::agent::{Agent, Clock};
use edgeshift::hub::reported;
use edgeshift::iotedge::Identity;
use edgeshift::link::{Endpoint, Mqtt, Pace};
use edgeshift::manifest::Manifest;
use edgeshift::sim::{Behaviour, Device, EmbeddedConfig, EmbeddedDevice, Release, Route, Scenario};
use edgeshift::text::Source;
use rumqttc::{ConnAck, ConnectReturnCode, Packet};
use serde_json::{Value, json};
use sockets::{Client, Folder, connect, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const MODULE: &str = "edgeshift";

struct Running {
    device: EmbeddedDevice,
    metrics: SocketAddr,
    stop: watch::Sender<bool>,
    agent: JoinHandle<()>,
    _folder: Folder,
}

async fn device(release: Release) -> (EmbeddedDevice, Folder) {
    let folder = Folder::new();
    let desired = json!({ "intervals": { "collect": 0.1, "publish": 0.1, "summary": 1 }, "site": { "gpus": 1 } });
    let behaviour = Behaviour {
        release,
        sync: Duration::from_millis(30),
        method_delay: Duration::from_millis(50),
        ..Behaviour::default()
    };
    let modules = [(MODULE.to_owned(), desired), ("scorer".to_owned(), json!({}))].into();
    let twins = r#"FROM /twinChangeNotifications INTO BrokeredEndpoint("/modules/edgeshift/inputs/twins")"#;
    let routes = vec![Route::everything_upstream(), twins.parse().unwrap()];
    let config = EmbeddedConfig { behaviour, routes, ..EmbeddedConfig::new(folder.path(), modules) };
    (EmbeddedDevice::start(config).await.unwrap().0, folder)
}

/// Starts the module of a device that runs `scenario`.
async fn start((device, folder): (EmbeddedDevice, Folder), scenario: Scenario) -> Running {
    let environment = device.environment(MODULE).unwrap();
    let identity = Identity::from_variables(|name| environment.get(name).cloned()).unwrap();
    let endpoint = Endpoint { host: "localhost".to_owned(), mqtt: device.mqtt_port(), web_socket: device.https_port() };
    let pace = Pace { pause: (Duration::from_millis(20), Duration::from_millis(200)), ..Pace::default() };
    let session = Arc::new(Mqtt::start(identity.clone(), endpoint, identity.credentials(), pace));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let sources = Device::start(scenario).sources();
    let (listener, log) = (Some(listener), Arc::new(|_| {}));
    let agent = tokio::spawn(Agent { sources, session, clock: Clock::system(), listener, log }.run(stopped));
    Running { device, metrics, stop, agent, _folder: folder }
}

impl Running {
    /// What IoT Hub has of the module.
    fn reported(&self) -> Value {
        self.device.iot_hub().twin(MODULE).unwrap()["reported"].clone()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.get_as(path, "*/*").await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// What is answered to who accepts `accept`: the head, in small letters, and the body.
    async fn get_as(&self, path: &str, accept: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nAccept: {accept}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    async fn end(self) -> EmbeddedDevice {
        self.stop.send_replace(true);
        within(self.agent).await.unwrap();
        self.device
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_module_goes_on_when_edge_hub_loses_it() {
    let running = start(device(Release::Current).await, Scenario::built_in()).await;
    until(|| running.reported()["modules"]["result-writer"]["state"] == "running").await;
    assert_eq!(running.reported()["health"], "blocked");
    let edge_hub = running.device.edge_hub();
    let before = edge_hub.admissions(MODULE);
    edge_hub.lose_sessions();
    until(|| edge_hub.admissions(MODULE) > before && edge_hub.is_connected(MODULE)).await;
    assert!(edge_hub.disconnect(MODULE));
    running.device.iot_hub().desire(MODULE, &json!({ "target": "ase-vm", "log": "loud" })).unwrap();
    until(|| running.reported()["edgeshift"]["target"] == "ase-vm").await;
    until(|| running.reported()["settings"]["refused"]["log"].is_string()).await;
    let answer = running.device.invoke(MODULE, "check", json!({ "fail_on": "info" })).await;
    assert_eq!((answer.status, &answer.payload["files"][0]["target"]), (200, &json!("ase-vm")));
    let device = running.end().await;
    until(|| !device.edge_hub().is_connected(MODULE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_edge_hub_and_a_full_twin_end_in_the_truth() {
    let (device, folder) = device(Release::Old).await;
    // As much as IoT Hub takes, left over from another time.
    let mut client = Client::open(&device).await;
    client.send(Packet::Connect(connect(&device, MODULE))).await;
    assert!(matches!(client.next().await, Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. })));
    client.subscribe(&["$iothub/twin/res/#"], rumqttc::QoS::AtLeastOnce).await;
    for part in 0..10 {
        let patch = json!({ format!("left{part}"): { "a": "x".repeat(1_600), "b": "y".repeat(1_600) } });
        assert_eq!(client.report(&patch).await, 204);
    }
    let full = || reported::size(&device.iot_hub().twin(MODULE).unwrap()["reported"]) > 31_000;
    until(full).await;
    drop(client);

    let options =
        r#""settings": { "image": "a:1", "createOptions": { "HostConfig": { "Binds": ["/home/hcsshares/in:/in"] } } }"#;
    let modules: Vec<String> = (0..50).map(|i| format!("\"$m.{i} # {}\": {{ {options} }}", "ü".repeat(90))).collect();
    let modules = modules.join(", ");
    let text =
        format!(r#"{{"modulesContent": {{"$edgeAgent": {{"properties.desired": {{"modules": {{ {modules} }}}}}}}}}}"#);
    let scenario = Scenario::of(Manifest::read(&Source::new("many", text)).unwrap());
    let running = start((device, folder), scenario).await;
    until(|| {
        let twin = running.reported();
        let shown = twin["modules"].as_object().map_or(0, serde_json::Map::len) as u64;
        shown > 20 && shown + twin["modules_left_out"].as_u64().unwrap_or_default() == 50 && twin.get("left0").is_none()
    })
    .await;
    let twin = running.reported();
    assert!((0..10).all(|part| twin.get(format!("left{part}")).is_none()), "{twin}");
    assert!(reported::size(&twin) <= reported::MAX_SECTION);
    // Nothing was refused on the way.
    assert_eq!(twin["edgeshift"].get("withheld"), None);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_brings_the_twins_of_siblings() {
    let running = start(device(Release::Current).await, Scenario::built_in()).await;
    until(|| running.reported()["modules"]["scorer"]["state"] == "failed").await;
    let mut sibling = Client::open(&running.device).await;
    sibling.send(Packet::Connect(connect(&running.device, "scorer"))).await;
    assert!(matches!(sibling.next().await, Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. })));
    sibling.subscribe(&["$iothub/twin/res/#"], rumqttc::QoS::AtLeastOnce).await;
    for patch in [json!({ "frames": 1, "token": "hunter2" }), json!({ "frames": 2, "source": "rtsp://a:hunter2@b/" })] {
        assert_eq!(sibling.report(&patch).await, 204);
    }
    let twin = json!({ "frames": 2, "token": "***", "source": "rtsp://*********@b/" });
    let seen = async {
        loop {
            let answer = running.device.invoke(MODULE, "status", json!({})).await;
            if answer.payload["modules"]["scorer"]["twin"] == twin {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(seen).await;
    let snapshot = running.device.invoke(MODULE, "snapshot", json!({})).await.payload;
    assert_eq!(snapshot["twins"]["known"]["scorer"]["reported"], twin);
    // Our own patches come by the same route and are nobody's twin; and the twin is not ours to publish.
    assert_eq!(snapshot["twins"]["known"].as_object().unwrap().len(), 1);
    assert!(!snapshot.to_string().contains("hunter2") && !running.reported().to_string().contains("rtsp"));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monitor_reads_how_it_stands() {
    let running = start(device(Release::Current).await, Scenario::built_in()).await;
    until(|| running.reported()["modules"]["result-writer"]["state"] == "running").await;
    assert_eq!(running.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(running.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, metrics) = running.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "edgeshift_edgehub_connected 1",
        "edgeshift_module_health{module=\"scorer\"} 3",
        "edgeshift_module_running{module=\"scorer\"} 0",
        "edgeshift_module_running{module=\"FrameGrabber\"} 1",
        "edgeshift_findings{severity=\"block\"} 4",
        "edgeshift_telemetry_dropped_total 0",
        "# TYPE edgeshift_telemetry_dropped_total counter",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("# EOF") && !metrics.contains("DCGM"), "{metrics}");
    let (head, _) = running.get_as("/metrics", "text/plain").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let (head, open) = running.get_as("/metrics", "application/openmetrics-text").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(open.contains("# TYPE edgeshift_telemetry_dropped counter\n") && open.ends_with("# EOF\n"), "{open}");
    // The names of DCGM, once they are wanted.
    running.device.iot_hub().desire(MODULE, &json!({ "metrics": { "dcgm": "core" } })).unwrap();
    let dcgm = async {
        loop {
            let (_, open) = running.get_as("/metrics", "application/openmetrics-text").await;
            if open.contains("\nDCGM_FI_DEV_GPU_TEMP{gpu=\"0\",UUID=\"GPU-") {
                return open;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(within(dcgm).await.ends_with("# EOF\n"));
    let reported = running.reported();
    assert_eq!(reported["gpu_driver"]["state"], "up", "{reported}");
    let gpu = reported["gpus"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&gpu["health"], &gpu["state"]), (&json!("ready"), &json!("up")), "{reported}");
    assert!(metrics.contains("edgeshift_gpu_memory_total_bytes{gpu=\"0\",uuid=\"GPU-"), "{metrics}");
    let Running { device, metrics, stop, agent, .. } = running;
    drop(device);
    // Where edgeHub is gone, nobody is ready, and the module lives.
    let folder = Folder::new();
    let nowhere = EmbeddedDevice::start(EmbeddedConfig::new(folder.path(), std::collections::BTreeMap::new())).await;
    let running = Running { device: nowhere.unwrap().0, metrics, stop, agent, _folder: folder };
    let unready = async {
        while running.get("/readyz").await.0 != 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(unready).await;
    assert_eq!(running.get("/readyz").await, (503, "no connection to edgeHub\n".to_owned()));
    assert_eq!(running.get("/healthz").await.0, 200);
    running.end().await;
}
