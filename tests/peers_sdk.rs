//! Microsoft's own clients on the embedded device, run by `scripts/peers`: azure-iot-device as a module, azure-iot-hub as a
//! service. They dial ports 8883 and 443, which asks for the right to listen there.

#![expect(clippy::disallowed_methods, reason = "the peers are programs and files")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[expect(dead_code, reason = "the raw clients are for other tests")]
mod sockets;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgeshift::hub::topic::Properties;
use edgeshift::sim::{Arrival, Behaviour, EmbeddedConfig, EmbeddedDevice, Key, Route};
use rumqttc::{ConnAck, ConnectReturnCode, Packet};
use serde_json::{Value, json};
use sockets::{Client, Folder, Http, until};
use tokio::sync::{Mutex, mpsc};

/// The Python clients have their ports built in: one device at a time.
static PORTS: Mutex<()> = Mutex::const_new(());

/// The ports, for one test; the device of the one before may still be closing.
async fn ports() -> tokio::sync::MutexGuard<'static, ()> {
    let guard = PORTS.lock().await;
    until(|| [8883, 443].iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())).await;
    guard
}

fn python() -> Command {
    let python = std::env::var("EDGESHIFT_PYTHON");
    Command::new(python.expect("EDGESHIFT_PYTHON names a Python with azure-iot-device, azure-iot-hub and six"))
}

fn script(name: &str) -> String {
    format!("{}/tests/peers/{name}.py", env!("CARGO_MANIFEST_DIR"))
}

fn config(folder: &Folder) -> EmbeddedConfig {
    let modules = [("us", json!({ "interval": 5 })), ("sibling", json!({}))];
    let behaviour = Behaviour { sync: Duration::from_millis(50), ..Behaviour::default() };
    let routes = [
        "FROM /messages/modules/us/outputs/health INTO $upstream",
        r#"FROM /messages/modules/us/outputs/loop INTO BrokeredEndpoint("/modules/us/inputs/in1")"#,
    ];
    EmbeddedConfig {
        behaviour,
        routes: routes.map(|route| route.parse().unwrap()).into(),
        mqtt_port: 8883,
        https_port: 443,
        ..EmbeddedConfig::new(folder.path(), modules.map(|(id, desired)| (id.to_owned(), desired)).into())
    }
}

/// `module.py` as a module of the device.
struct Module {
    child: Child,
    commands: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
}

impl Module {
    async fn start(device: &EmbeddedDevice, module: &str, arguments: &[&str]) -> Self {
        let environment = device.environment(module).unwrap();
        let mut child = python()
            .arg(script("module"))
            .args(arguments)
            .envs(&environment)
            // For HTTPS the SDK asks the system whom to trust.
            .env("REQUESTS_CA_BUNDLE", device.ca_file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}")));
            }
        });
        let commands = child.stdin.take().unwrap();
        let mut module = Self { child, commands, lines };
        assert_eq!(module.line().await, json!({ "connected": true }));
        module
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(30), self.lines.recv()).await;
        line.expect("module.py says nothing for 30 seconds").expect("module.py has ended")
    }

    /// What it says to a command.
    async fn ask(&mut self, command: &str) -> Value {
        self.tell(command);
        self.line().await
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `service.py` prints.
async fn service(device: &EmbeddedDevice, arguments: &[&str]) -> Value {
    let mut command = python();
    command
        .arg(script("service"))
        .args(arguments)
        .env("IOTHUB_CONNECTION_STRING", device.service_connection_string())
        .env("REQUESTS_CA_BUNDLE", device.ca_file())
        .stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn peer_link_microsofts_module_client_believes_the_device() {
    let _alone = ports().await;
    let folder = Folder::new();
    let (device, mut arrivals) = EmbeddedDevice::start(config(&folder)).await.unwrap();
    let mut module = Module::start(&device, "us", &["3600"]).await;
    let twin = module.ask("twin").await["twin"].take();
    assert_eq!(twin, json!({ "desired": { "interval": 5, "$version": 1 }, "reported": { "$version": 1 } }));

    assert_eq!(module.ask(r#"report {"state":{"a":1}}"#).await, json!({ "reported": true }));
    let Arrival::Reported { module: from, patch } = arrivals.recv().await.unwrap() else { panic!("no patch") };
    assert_eq!((from.as_str(), patch), ("us", json!({ "state": { "a": 1 } })));
    let refused = module.ask(r#"report {"a.b":1}"#).await;
    assert!(refused["error"].as_str().unwrap().contains("400"), "{refused}");
    assert_eq!(module.ask("twin").await["twin"]["reported"], json!({ "state": { "a": 1 }, "$version": 2 }));

    assert_eq!(module.ask(r#"send health {"ok":true}"#).await, json!({ "sent": "health" }));
    let Arrival::Telemetry { properties, body, .. } = arrivals.recv().await.unwrap() else { panic!("no telemetry") };
    assert_eq!(body, br#"{"ok":true}"#);
    for (name, value) in [
        (Properties::OUTPUT, "health"),
        (Properties::CONTENT_TYPE, "application/json"),
        (Properties::CONTENT_ENCODING, "utf-8"),
        (Properties::MESSAGE_ID, "m 1"),
        ("key", "é/+"),
    ] {
        assert_eq!(properties.get(name), Some(value));
    }

    assert_eq!(module.ask("handle").await, json!({ "handles": true }));
    module.tell("send loop back");
    let (mut sent, mut heard) = (None, None);
    while sent.is_none() || heard.is_none() {
        let line = module.line().await;
        if line["sent"].is_string() { sent = Some(line) } else { heard = Some(line) }
    }
    let heard = heard.unwrap();
    assert_eq!((&heard["input"], &heard["body"], &heard["id"]), (&json!("in1"), &json!("back"), &json!("m 1")));
    assert_eq!(heard["properties"], json!({ "key": "é/+", "$.cdid": "edge", "$.cmid": "us" }));

    assert_eq!(device.iot_hub().desire("us", &json!({ "interval": 7 })).unwrap(), 2);
    assert_eq!(module.line().await, json!({ "desired": { "interval": 7, "$version": 2 } }));
    // Module to module, here to itself: through edgeHub's HTTPS.
    module.tell("call edge us hello");
    assert_eq!(module.line().await, json!({ "method": "hello", "payload": { "n": 1 } }));
    let called = module.line().await;
    assert_eq!(called, json!({ "called": { "status": 200, "payload": { "echo": { "n": 1 } } } }));
    assert_eq!(module.ask("quit").await, json!({ "ended": true }));
    until(|| !device.edge_hub().is_connected("us")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn peer_link_microsofts_module_client_renews_its_token_over_websockets() {
    let _alone = ports().await;
    let folder = Folder::new();
    let (device, _arrivals) = EmbeddedDevice::start(config(&folder)).await.unwrap();
    // It renews two minutes before the end.
    let mut module = Module::start(&device, "us", &["125", "websockets"]).await;
    assert_eq!(module.ask("handle").await, json!({ "handles": true }));
    let before = device.edge_hub().admissions("us");
    until(|| device.edge_hub().admissions("us") > before && device.edge_hub().is_connected("us")).await;
    // It does not subscribe again, and relies on its session.
    device.iot_hub().desire("us", &json!({ "interval": 8 })).unwrap();
    assert_eq!(module.line().await, json!({ "desired": { "interval": 8, "$version": 2 } }));
    assert_eq!(module.ask("quit").await, json!({ "ended": true }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn peer_link_microsofts_service_client_reaches_a_module() {
    let _alone = ports().await;
    let folder = Folder::new();
    let (device, _arrivals) = EmbeddedDevice::start(config(&folder)).await.unwrap();
    let twin = service(&device, &["edge", "us", "twin"]).await;
    assert_eq!((&twin["device"], &twin["module"]), (&json!("edge"), &json!("us")));
    assert_eq!(twin["properties"]["desired"]["interval"], 5);
    let offline = service(&device, &["edge", "us", "call", "hello", "null"]).await;
    assert_eq!(offline[0]["error"], 404);
    assert_eq!(service(&device, &["edge", "them", "twin"]).await["error"], 404);

    let mut module = Module::start(&device, "us", &["3600"]).await;
    assert_eq!(module.ask("handle").await, json!({ "handles": true }));
    let etag = twin["etag"].as_str().unwrap();
    let patch = r#"{"interval":null,"more":{"a":[1,2]}}"#;
    let patched = service(&device, &["edge", "us", "desire", patch, etag]).await;
    assert_eq!(patched["properties"]["desired"]["$version"], 2);
    let expected = json!({ "interval": null, "more": { "a": [1, 2] }, "$version": 2 });
    assert_eq!(module.line().await, json!({ "desired": expected }));
    assert_eq!(service(&device, &["edge", "us", "desire", patch, etag]).await["error"], 412);

    let arguments = ["edge", "us", "call", "one two", r#"{"x":1}"#, "other", "null"];
    let (answers, ()) = tokio::join!(service(&device, &arguments), async {
        assert_eq!(module.line().await, json!({ "method": "one two", "payload": { "x": 1 } }));
        // The SDK makes an empty text of no payload.
        assert_eq!(module.line().await, json!({ "method": "other", "payload": "" }));
    });
    let echo = |payload: Value| json!({ "echo": payload });
    assert_eq!((&answers[0]["status"], &answers[0]["payload"]), (&json!(200), &echo(json!({ "x": 1 }))));
    assert_eq!(answers[1]["payload"], echo(json!("")));
}

#[tokio::test]
#[ignore = "needs EDGESHIFT_MQTT_VECTORS"]
async fn peer_link_the_device_takes_the_bytes_that_others_were_seen_to_send() {
    let path = std::env::var("EDGESHIFT_MQTT_VECTORS").expect("EDGESHIFT_MQTT_VECTORS names a file of observed bytes");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let identity = &vectors["test_identity"];
    let (device_id, module) = (text(&identity["device"]), text(&identity["module"]));
    let sas = &vectors["sas"][0];
    // The day on which the token was good.
    let behind = i64::try_from(sockets::seconds()).unwrap() - sas["expiry"].as_i64().unwrap() + 60;
    let folder = Folder::new();
    let key = Key::from_base64(&text(&identity["key_base64"])).unwrap();
    let config = EmbeddedConfig {
        device: device_id,
        iot_hub: text(&identity["iothub"]),
        keys: BTreeMap::from([(module.clone(), key)]),
        behaviour: Behaviour { clock_ahead: -behind, ..Behaviour::default() },
        ..EmbeddedConfig::new(folder.path(), BTreeMap::from([(module.clone(), json!({ "interval": 5 }))]))
    };
    let (device, mut arrivals) = EmbeddedDevice::start(config).await.unwrap();

    // The workload API answers the recorded requests as the real one did.
    let uri = device.environment(&module).unwrap()["IOTEDGE_WORKLOADURI"].clone();
    let mut seen = 0;
    for (name, exchange) in vectors["aziot_edged_1_6_0"]["observed"].as_object().unwrap() {
        if ["modules_list", "trust_bundle", "encrypt", "server_cert"].contains(&name.as_str()) {
            continue;
        }
        let (request, response) = (&exchange["request"], &exchange["response"]);
        let content: Vec<(&str, &str)> =
            request["content_type"].as_str().iter().map(|content| ("content-type", *content)).collect();
        let body = request["body"].as_str().unwrap_or_default();
        let mut http = Http::workload(&uri).await;
        let answer = http.ask(&text(&request["method"]), &text(&request["path"]), &content, body).await;
        assert_eq!(u64::from(answer.status), response["status"], "{name}");
        assert_eq!(answer.text, text(&response["body"]), "{name}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
    let data = BASE64_STANDARD.decode(text(&sas["sign_request_data_base64"])).unwrap();
    assert_eq!(data, text(&sas["string_to_sign"]).as_bytes());

    // edgeHub takes the recorded packets, the token among them.
    let mut client = Client::open(&device).await;
    let packets = vectors["python_module_client"]["observed"]["packets"].as_array().unwrap();
    let mut acknowledged = 0;
    for packet in packets.iter().filter(|packet| packet["dir"] == "c2s" && packet["hex"].is_string()) {
        // What it acknowledges are packets of another server.
        if packet["type"] == "PUBACK" {
            continue;
        }
        client.raw(&bytes_of(&text(&packet["hex"]))).await;
        let id = packet["packet_id"].as_u64();
        match packet["type"].as_str().unwrap() {
            "CONNECT" => {
                let Packet::ConnAck(ConnAck { code, .. }) = client.next().await else { panic!("no CONNACK") };
                assert_eq!(code, ConnectReturnCode::Success);
            }
            "SUBSCRIBE" => {
                let Packet::SubAck(answer) = client.next().await else { panic!("no SUBACK") };
                assert_eq!(Some(u64::from(answer.pkid)), id);
            }
            "PUBLISH" => loop {
                match client.next().await {
                    Packet::PubAck(answer) => {
                        assert_eq!(Some(u64::from(answer.pkid)), id);
                        acknowledged += 1;
                        break;
                    }
                    Packet::Publish(publish) => client.send(Packet::PubAck(rumqttc::PubAck::new(publish.pkid))).await,
                    other => panic!("{other:?}"),
                }
            },
            "DISCONNECT" => client.ends().await,
            other => panic!("{other}"),
        }
    }
    assert!(acknowledged >= 10, "{acknowledged}");
    let mut telemetry = Vec::new();
    while let Ok(arrival) = arrivals.try_recv() {
        if let Arrival::Telemetry { properties, body, .. } = arrival {
            telemetry.push((properties.get(Properties::OUTPUT).map(str::to_owned), String::from_utf8(body).unwrap()));
        }
    }
    let sent = |output: Option<&str>, body: &str| (output.map(str::to_owned), body.to_owned());
    let expected = [sent(Some("telemetry out"), r#"{"a": 1}"#), sent(None, "plain"), sent(Some("alerts"), "sec")];
    assert_eq!(telemetry, expected);
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// A program that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every method of the module, with a payload, and what its answer has at a path.
const METHODS: [(&str, &str, u64, &str); 12] = [
    ("check", r#"{"fail_on": "info"}"#, 200, "/files/0/findings/0/rule"),
    ("explain", r#"{"rule": "STO-001"}"#, 200, "/0/page"),
    ("gpu", "{}", 200, "/driver/state"),
    ("ping", "{}", 200, "/taken_at"),
    ("ping", "null", 200, "/version"),
    ("refresh", "{}", 200, "/summary/block"),
    ("render", r#"{"agent": "beta10"}"#, 200, "/agent"),
    ("rules", "{}", 200, "/0/id"),
    ("snapshot", "{}", 200, "/edgeshift_snapshot"),
    ("status", "{}", 200, "/modules/scorer/health"),
    ("rules", r#"{"colour": "red"}"#, 400, "/error"),
    ("reboot", "{}", 404, "/error"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with azure-iot-hub and ports 8883 and 443"]
async fn peer_link_a_service_invokes_every_method_of_our_module() {
    let _ports = ports().await;
    let folder = Folder::new();
    let deployment = include_str!("../examples/fpga-deployment.json");
    let pieces: Vec<&str> = deployment.lines().collect();
    let pieces: Vec<String> = pieces.chunks(40).map(|lines| lines.join("\n")).collect();
    let desired = json!({ "manifest": pieces, "intervals": { "collect": 0.5, "publish": 0.5 }, "log": "debug" });
    let (modules, routes) = ([("edgeshift".to_owned(), desired)].into(), vec![Route::everything_upstream()]);
    let config = EmbeddedConfig { modules, routes, ..config(&folder) };
    let (device, mut arrivals) = EmbeddedDevice::start(config).await.unwrap();
    let agent = Command::new(env!("CARGO_BIN_EXE_edgeshift"))
        .args(["agent", "--listen", "127.0.0.1:0"])
        .env_clear()
        .envs(device.environment("edgeshift").unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut agent = Killed(agent);
    let output = BufReader::new(agent.0.stdout.take().unwrap());
    let log = std::thread::spawn(move || output.lines().map(Result::unwrap).collect::<Vec<_>>());
    until(|| device.iot_hub().twin("edgeshift").unwrap()["reported"]["health"] == "blocked").await;

    let arguments = METHODS.iter().flat_map(|(method, payload, ..)| [*method, *payload]);
    let answers =
        service(&device, &[&["edge", "edgeshift", "call"], arguments.collect::<Vec<_>>().as_slice()].concat()).await;
    for ((method, _, status, path), answer) in METHODS.iter().zip(answers.as_array().unwrap()) {
        assert_eq!(answer["status"], *status, "{method}: {answer}");
        assert!(answer["payload"].pointer(path).is_some_and(|value| !value.is_null()), "{method} {path}: {answer}");
    }
    // Every method that there is was called.
    let unknown = answers[METHODS.len() - 1]["payload"]["error"].as_str().unwrap();
    let mut there_are: Vec<&str> = unknown.split_once("there are ").unwrap().1.split(", ").collect();
    let mut called: Vec<&str> =
        METHODS.iter().filter(|(.., status, _)| *status == 200).map(|(method, ..)| *method).collect();
    called.sort_unstable();
    called.dedup();
    there_are.sort_unstable();
    assert_eq!(called, there_are);

    let twin = service(&device, &["edge", "edgeshift", "twin"]).await;
    assert_eq!(twin["properties"]["reported"]["modules"]["scorer"]["health"], "blocked", "{twin}");
    service(&device, &["edge", "edgeshift", "desire", r#"{"target": "ase-vm", "log": "loud"}"#]).await;
    let reported = || device.iot_hub().twin("edgeshift").unwrap()["reported"].clone();
    until(|| reported()["edgeshift"]["target"] == "ase-vm" && reported()["settings"]["refused"]["log"].is_string())
        .await;

    // SIGTERM: a last word, DISCONNECT, and status 0, well within the ten seconds that IoT Edge gives.
    let killed = Command::new("kill").args(["-TERM", &agent.0.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || agent.0.wait().unwrap());
    let status = tokio::time::timeout(Duration::from_secs(8), ended).await.unwrap().unwrap();
    assert!(status.success());
    until(|| !device.edge_hub().is_connected("edgeshift")).await;
    let arrived = std::iter::from_fn(|| arrivals.try_recv().ok()).any(|arrival| match arrival {
        Arrival::Telemetry { properties, .. } => properties.get(Properties::OUTPUT) == Some("health"),
        Arrival::Reported { .. } => false,
    });
    assert!(arrived);
    // Every line of the log is JSON, and none holds a token.
    let log = log.join().unwrap();
    assert!(log.len() > 2, "{log:?}");
    for line in log {
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
        assert!(!line.contains("SharedAccess"), "{line}");
    }
}
