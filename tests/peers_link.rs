//! The session with real peers: a mosquitto that holds it over TLS, and what Microsoft's client and a real daemon of IoT
//! Edge put on the wire. `scripts/peers` runs these and says what they need.

#![expect(clippy::disallowed_methods, reason = "these tests run a broker and read its files")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod authority;
mod daemon;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, TestCredentials, identity};
use daemon::Daemon;
use edgeshift::hub::message;
use edgeshift::hub::method::Response;
use edgeshift::hub::topic::{Filter, FromModule, Properties, ToModule};
use edgeshift::iotedge::{CaFile, Credentials, Identity, Key, KeyCredentials, Resource, WorkloadError};
use edgeshift::link::{Endpoint, Event, Mqtt, Pace, Session};
use jiff::Timestamp;
use rumqttc::{
    AsyncClient, MqttOptions, Packet, PublishOptions, QoS, SubscribeFilterInput, TlsConfiguration, Transport,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(30);

/// A mosquitto of one test.
struct Mosquitto {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Mosquitto {
    fn start(authority: &Authority) -> Self {
        let folder = std::env::temp_dir().join(format!("edgeshift-mosquitto-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name).display().to_string()
        };
        let (certificate, key) = &authority.server;
        let (certificate, key) = (file("server.pem", certificate), file("server.key", key));
        file(
            "mosquitto.conf",
            &format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\ncertfile {certificate}\n\
                 keyfile {key}\n"
            ),
        );
        let process = run(&folder);
        Self { folder, port, process }
    }

    fn restart(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = run(&self.folder);
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(folder: &std::path::Path) -> Child {
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(folder.join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("mosquitto can be run")
}

/// The part of edgeHub, played by another client of the same broker: it answers requests for the twin, takes patches of
/// the reported properties, and hands everything that the module publishes on.
struct Hub {
    client: AsyncClient,
    heard: mpsc::UnboundedReceiver<(FromModule, Value)>,
}

impl Hub {
    fn start(port: u16, authority: &Authority, desired: Arc<std::sync::Mutex<Value>>) -> Self {
        let mut options = MqttOptions::new("hub", ("localhost", port));
        let tls = TlsConfiguration::Simple { ca: authority.pem.clone().into(), alpn: None, client_auth: None };
        options.set_transport(Transport::tls_with_config(tls));
        options.set_max_packet_size(300_000, 300_000);
        let (client, mut events) = AsyncClient::builder(options).capacity(100).build();
        let (sender, heard) = mpsc::unbounded_channel();
        let answering = client.clone();
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(rumqttc::Event::Incoming(Packet::ConnAck(_))) => {
                        let filters = ["$iothub/twin/GET/#", "$iothub/twin/PATCH/properties/reported/#"];
                        let filters = filters.into_iter().chain(["$iothub/methods/res/#", "devices/#"]);
                        let filters = filters.map(|filter| SubscribeFilterInput::new(filter, QoS::AtLeastOnce));
                        answering.try_subscribe_many(filters).unwrap();
                    }
                    Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) => {
                        let topic = std::str::from_utf8(&publish.topic).unwrap();
                        let topic = FromModule::parse(topic).unwrap_or_else(|| panic!("{topic} does not read"));
                        let answer = |status, rid: &String, body: Value| {
                            let answer = ToModule::TwinAnswer { status, rid: rid.clone(), version: None };
                            let body = if body.is_null() { String::new() } else { body.to_string() };
                            let options = PublishOptions::new(QoS::AtLeastOnce);
                            answering.try_publish(answer.to_string(), body, options).unwrap();
                        };
                        match &topic {
                            FromModule::TwinGet { rid } => {
                                let desired = desired.lock().unwrap().clone();
                                answer(200, rid, json!({ "desired": desired, "reported": { "$version": 1 } }));
                            }
                            FromModule::TwinReport { rid: Some(rid) } => answer(204, rid, Value::Null),
                            _ => {}
                        }
                        let _ = sender.send((topic, serde_json::from_slice(&publish.payload).unwrap_or_default()));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Self { client, heard }
    }

    async fn tell(&self, topic: &ToModule, body: &Value) {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.publish(topic.to_string(), body.to_string(), options).await.unwrap();
    }

    /// The next thing of a kind that the module published.
    async fn hear(&mut self, wanted: impl Fn(&FromModule) -> bool) -> (FromModule, Value) {
        timeout(LONG, async {
            loop {
                let (topic, body) = self.heard.recv().await.unwrap();
                if wanted(&topic) {
                    return (topic, body);
                }
            }
        })
        .await
        .expect("the module publishes it")
    }

    /// Invokes a method and lets `session` answer it.
    async fn ping(&mut self, session: &Mqtt, rid: &str) {
        self.tell(&ToModule::Method { name: "pi ng".into(), rid: rid.into() }, &json!({ "n": 1 })).await;
        let (request, answer) = loop {
            match next(session).await {
                Event::Method(request, answer) => break (request, answer),
                Event::Desired(_) | Event::Input(_) => {}
            }
        };
        assert_eq!((request.name.as_str(), &request.payload["n"]), ("pi ng", &json!(1)));
        answer.send(Response::ok(json!({ "pong": rid })));
        let (topic, body) = self.hear(|topic| matches!(topic, FromModule::MethodAnswer { .. })).await;
        assert_eq!(topic, FromModule::MethodAnswer { status: 200, rid: rid.into() });
        assert_eq!(body["pong"], rid);
    }
}

async fn next(session: &Mqtt) -> Event {
    timeout(LONG, session.next()).await.expect("something happens").expect("the session goes on")
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn peer_link_mosquitto_holds_the_session_over_a_restart() {
    let authority = Authority::new("edge");
    let mut broker = Mosquitto::start(&authority);
    let desired = Arc::new(std::sync::Mutex::new(json!({ "a": 1, "$version": 4 })));
    let mut hub = Hub::start(broker.port, &authority, Arc::clone(&desired));
    let endpoint = Endpoint { host: "localhost".to_owned(), mqtt: broker.port, web_socket: 1 };
    let pace = Pace {
        pause: (Duration::from_millis(50), Duration::from_millis(500)),
        request: Duration::from_secs(2),
        patience: LONG,
        twin: Duration::from_millis(100),
        ..Pace::default()
    };
    let session = Mqtt::start(identity(), endpoint, TestCredentials::new([&authority.pem]), pace);
    let Event::Desired(section) = next(&session).await else { panic!("no desired properties") };
    assert_eq!(section, json!({ "a": 1, "$version": 4 }));

    session.send(message::gpu(1, "2026-01-01T00:00:00Z".parse().unwrap(), &[], &BTreeMap::new())).await.unwrap();
    let (topic, body) = hub.hear(|topic| matches!(topic, FromModule::Telemetry { .. })).await;
    let FromModule::Telemetry { device, module, properties } = topic else { unreachable!() };
    assert_eq!((device.as_str(), module.as_str(), &body["kind"]), ("edge01", "shift", &json!("window")));
    assert_eq!(properties.get(Properties::OUTPUT), Some("gpu"));
    assert_eq!(properties.get(Properties::CONTENT_TYPE), Some("application/json"));

    session.report(json!({ "health": "pass" })).await.unwrap();
    let (_, patch) = hub.hear(|topic| matches!(topic, FromModule::TwinReport { .. })).await;
    assert_eq!(patch, json!({ "health": "pass" }));

    hub.tell(&ToModule::Desired { version: Some(5) }, &json!({ "a": null, "b": 2, "$version": 5 })).await;
    let Event::Desired(section) = next(&session).await else { panic!("no desired properties") };
    assert_eq!(section, json!({ "b": 2, "$version": 5 }));
    hub.ping(&session, "before").await;

    // The broker forgets everything; what changed meanwhile is read, and methods arrive again.
    *desired.lock().unwrap() = json!({ "c": 3, "$version": 8 });
    broker.restart();
    let Event::Desired(section) = next(&session).await else { panic!("no desired properties") };
    assert_eq!(section, json!({ "c": 3, "$version": 8 }));
    hub.ping(&session, "after").await;
    session.send(message::gpu(2, "2026-01-01T00:00:00Z".parse().unwrap(), &[], &BTreeMap::new())).await.unwrap();
    timeout(LONG, session.close()).await.unwrap();
    assert!(session.next().await.is_none());
}

/// What others put on the wire as a module.
fn vectors() -> Value {
    let path = std::env::var("EDGESHIFT_MQTT_VECTORS").expect("EDGESHIFT_MQTT_VECTORS names a file of observed bytes");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn resource(vectors: &Value) -> Resource {
    let identity = &vectors["test_identity"];
    let part = |name: &str| text(&identity[name]).to_owned();
    Resource { hub: part("iothub"), device: part("device"), module: part("module") }
}

#[tokio::test]
#[ignore = "needs EDGESHIFT_MQTT_VECTORS"]
async fn peer_link_tokens_are_those_of_other_clients() {
    let vectors = vectors();
    let sas = &vectors["sas"][0];
    let resource = resource(&vectors);
    let expiry = Timestamp::from_second(sas["expiry"].as_i64().unwrap()).unwrap();
    assert_eq!(resource.to_sign(expiry), text(&sas["string_to_sign"]));
    let key = Key::parse(text(&vectors["test_identity"]["key_base64"])).unwrap();
    assert_eq!(key.sign(&resource.to_sign(expiry)), text(&sas["digest_base64"]));
    let own = KeyCredentials::new(key.clone(), CaFile::new("none"));
    assert_eq!(own.token(&resource, expiry).await.unwrap().secret(), text(&sas["token"]));
    #[cfg(feature = "azure-sdk")]
    {
        let sdk = edgeshift::iotedge::SdkCredentials::new(key, CaFile::new("none"));
        assert_eq!(sdk.token(&resource, expiry).await.unwrap().secret(), text(&sas["token"]));
    }
}

#[test]
#[ignore = "needs EDGESHIFT_MQTT_VECTORS"]
fn peer_link_topics_are_those_of_the_python_client() {
    let vectors = vectors();
    let packets = vectors["python_module_client"]["observed"]["packets"].as_array().unwrap();
    let identity = of_the_vectors(&vectors, "unix:///nowhere");
    let mut seen = BTreeMap::new();
    for packet in packets {
        let kind = format!("{} {}", packet["dir"].as_str().unwrap_or(""), text(&packet["type"]));
        *seen.entry(kind.clone()).or_insert(0) += 1;
        match kind.as_str() {
            "c2s CONNECT" => {
                assert_eq!(identity.client_id(), text(&packet["client_id"]));
                let (ours, theirs) = (identity.user_name(), text(&packet["username"]));
                let (path, query) = theirs.split_once('?').unwrap();
                assert!(ours.starts_with(path), "{ours}");
                // The same keys in the same order; the version and the client's name are ours.
                let keys = |query: &str| -> Vec<String> {
                    query.split('&').map(|pair| pair.split_once('=').unwrap().0.to_owned()).collect()
                };
                assert_eq!(keys(ours.split_once('?').unwrap().1), keys(query));
            }
            "c2s PUBLISH" => {
                let topic = text(&packet["topic"]);
                assert_eq!(FromModule::parse(topic).expect(topic).to_string(), topic);
            }
            "s2c PUBLISH" => {
                let topic = text(&packet["topic"]);
                assert_eq!(ToModule::parse(topic).expect(topic).to_string(), topic);
            }
            "c2s SUBSCRIBE" => {
                let filter = text(&packet["filters"][0][0]);
                assert_eq!(Filter::parse(filter).expect(filter).to_string(), filter);
            }
            _ => {}
        }
    }
    assert!(seen["c2s PUBLISH"] > 5 && seen["s2c PUBLISH"] > 5 && seen["c2s SUBSCRIBE"] > 3, "{seen:?}");
}

#[tokio::test]
#[ignore = "needs EDGESHIFT_MQTT_VECTORS"]
async fn peer_link_requests_are_those_that_a_real_daemon_answers() {
    let vectors = vectors();
    let observed = &vectors["aziot_edged_1_6_0"]["observed"];
    let answer = |name: &str| {
        let response = &observed[name]["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        (status, text(&response["body"]).to_owned())
    };
    let refusals = ["sign_as_other_module_403", "sign_missing_data_422", "sign_no_body_400", "unknown_path_404"];
    let mut answers = vec![answer("sign_ok"), answer("modules_list")];
    answers.extend(refusals.map(answer));
    let mut daemon = Daemon::start(answers);
    let identity = of_the_vectors(&vectors, &daemon.uri());
    let sas = &vectors["sas"][0];
    let expiry = Timestamp::from_second(sas["expiry"].as_i64().unwrap()).unwrap();
    let token = identity.credentials().token(&identity.resource, expiry).await.unwrap();
    assert_eq!(token.secret(), text(&sas["token"]));
    let (asked, expected) = (daemon.asked.recv().await.unwrap(), &observed["sign_ok"]["request"]);
    assert_eq!(asked.line, format!("{} {}", text(&expected["method"]), text(&expected["path"])));
    let body = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    assert_eq!(body(&asked.body), body(text(&expected["body"])));

    let edgeshift::iotedge::Proof::Workload(workload) = &identity.proof else { panic!("a socket is given") };
    let modules = workload.modules().await.unwrap();
    let listed = body(text(&observed["modules_list"]["response"]["body"]))["modules"].take();
    for (module, listed) in modules.iter().zip(listed.as_array().unwrap()) {
        let settings = &listed["config"]["settings"];
        assert_eq!(module.name, text(&listed["name"]));
        assert_eq!(module.digest.as_deref(), settings["imageHash"].as_str());
        assert_eq!(module.labels.len(), settings["createOptions"]["Labels"].as_object().unwrap().len());
    }
    assert_eq!(modules.len(), 2);
    for refusal in refusals {
        let wanted = answer(refusal);
        match workload.sign(b"x").await {
            Err(WorkloadError::Refused { status, message, .. }) => {
                assert_eq!((status, body(&wanted.1)["message"].as_str()), (wanted.0, Some(message.as_str())));
            }
            other => panic!("{refusal}: {other:?}"),
        }
    }
}

fn of_the_vectors(vectors: &Value, workload: &str) -> Identity {
    let Resource { hub, device, module } = resource(vectors);
    let generation = text(&vectors["test_identity"]["generation_id"]).to_owned();
    Identity::from_variables(|name| {
        Some(match name {
            "IOTEDGE_WORKLOADURI" => workload.to_owned(),
            "IOTEDGE_MODULEID" => module.clone(),
            "IOTEDGE_MODULEGENERATIONID" => generation.clone(),
            "IOTEDGE_DEVICEID" => device.clone(),
            "IOTEDGE_IOTHUBHOSTNAME" => hub.clone(),
            "IOTEDGE_GATEWAYHOSTNAME" => "localhost".to_owned(),
            "IOTEDGE_APIVERSION" => "2022-08-03".to_owned(),
            _ => return None,
        })
    })
    .unwrap()
}
