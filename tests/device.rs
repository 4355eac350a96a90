//! The embedded device as clients meet it: its workload API, edgeHub's MQTT with the quirks of
//! `iotedge-protocol.md` §A and §B, and IoT Hub's service endpoints, over real sockets and TLS.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod sockets;

use std::collections::BTreeMap;
use std::time::Duration;

use edgeshift::hub::method::Response;
use edgeshift::hub::topic::Properties;
use edgeshift::iotedge::Identity;
use edgeshift::link::{Endpoint, Event, Mqtt, Pace, Session, SessionError};
use edgeshift::sim::{Arrival, Behaviour, EmbeddedConfig, EmbeddedDevice, Release};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubscribeReasonCode};
use serde_json::{Value, json};
use sockets::{Client, Folder, Http, connect, expiry, seconds, sign, until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

const REPORT: &str = "$iothub/twin/PATCH/properties/reported/?$rid=";
const GET: &str = "$iothub/twin/GET/?$rid=";
const EVENTS: &str = "devices/edge/modules/us/messages/events/";

struct Running {
    device: EmbeddedDevice,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    _folder: Folder,
}

async fn start(change: impl FnOnce(&mut EmbeddedConfig)) -> Running {
    let folder = Folder::new();
    let modules = [("us", json!({ "interval": 5 })), ("sibling", json!({})), ("$edgeAgent", json!({ "modules": {} }))];
    let modules = modules.map(|(id, desired)| (id.to_owned(), desired)).into();
    let behaviour = Behaviour {
        sync: Duration::from_millis(20),
        reauthentication: Duration::from_millis(50),
        method_delay: Duration::from_millis(50),
        acknowledgement: Duration::from_millis(200),
        ..Behaviour::default()
    };
    let mut config = EmbeddedConfig { behaviour, ..EmbeddedConfig::new(folder.path(), modules) };
    change(&mut config);
    let (device, arrivals) = EmbeddedDevice::start(config).await.unwrap();
    Running { device, arrivals, _folder: folder }
}

impl Running {
    async fn client(&self, module: &str) -> Client {
        let mut client = Client::open(&self.device).await;
        client.send(Packet::Connect(connect(&self.device, module))).await;
        assert!(matches!(client.next().await, Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. })));
        client
    }

    async fn arrival(&mut self) -> Arrival {
        within(self.arrivals.recv()).await.unwrap()
    }

    /// Waits until IoT Hub's reported properties of the module are these.
    async fn reported(&self, expected: &Value) {
        until(|| {
            let mut reported = self.device.iot_hub().twin("us").unwrap()["reported"].take();
            reported.as_object_mut().unwrap().remove("$version");
            reported == *expected
        })
        .await;
    }
}

/// The status and body of an answer about the twin; the topic ends with the request's id, without a version.
fn twin_answer(packet: &Packet, rid: &str) -> (u16, Value) {
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    let topic = str::from_utf8(&publish.topic).unwrap();
    let rest = topic.strip_prefix("$iothub/twin/res/").unwrap_or_else(|| panic!("{topic}"));
    let status = rest.strip_suffix(&format!("/?$rid={rid}")).unwrap_or_else(|| panic!("{topic}"));
    (status.parse().unwrap(), serde_json::from_slice(&publish.payload).unwrap_or_default())
}

#[tokio::test]
async fn the_workload_api_answers_as_aziot_edged_does() {
    let sign = "/modules/us/genid/1/sign?api-version=2022-08-03";
    let sibling = "/modules/sibling/genid/1/sign?api-version=2022-08-03";
    let old = "/modules/us/genid/other/sign?api-version=2018-06-28";
    let data = r#"{"keyId":"primary","algo":"HMACSHA256","data":"aGk="}"#;
    let cases = [
        ("POST", sign, None, data, 200, "digest"),
        ("POST", old, Some("application/json"), data, 200, "digest"),
        ("POST", sibling, None, data, 403, "forbidden"),
        ("POST", sign, Some("text/plain"), data, 400, "missing parameter: request body"),
        ("POST", sign, None, "", 400, "missing parameter: request body"),
        ("POST", sign, None, r#"{"data":"%%%"}"#, 400, "invalid parameter: Invalid symbol 37, offset 0."),
        ("POST", sign, None, r#"{"keyId":"primary"}"#, 422, "missing field `data` at line 1 column 19"),
        ("GET", "/trust-bundle", None, "", 400, "api-version not specified"),
        ("GET", "/trust-bundle?api-version=2030-01-01", None, "", 400, "invalid api-version \\\"2030-01-01\\\""),
        ("GET", "/trust-bundle?api-version=2022-08-03", None, "", 200, "-----BEGIN CERTIFICATE-----"),
        ("GET", "/modules?api-version=2022-08-03", None, "", 200, r#"{"modules":[]}"#),
        ("GET", "/foo?api-version=2022-08-03", None, "", 404, r#"{"message":"not found"}"#),
    ];
    for over_http in [false, true] {
        let running = start(|config| config.workload_over_http = over_http).await;
        let uri = running.device.environment("us").unwrap()["IOTEDGE_WORKLOADURI"].clone();
        for (method, path, content_type, body, status, text) in cases {
            let headers: Vec<(&str, &str)> = content_type.iter().map(|content| ("content-type", *content)).collect();
            let answer = Http::workload(&uri).await.ask(method, path, &headers, body).await;
            assert_eq!(answer.status, status, "{uri} {method} {path} {body}");
            assert!(answer.text.contains(text), "{method} {path}: {}", answer.text);
        }
        let answer = Http::workload(&uri).await.ask("POST", sign, &[], data).await;
        let key = sockets::key(&running.device.connection_string("us").unwrap());
        assert_eq!(answer.json()["digest"], sockets::digest(&key, b"hi"));
    }
}

#[tokio::test]
async fn the_workload_api_lists_modules_with_their_labels_on_docker() {
    let listed = edgeshift::sim::Device::start(edgeshift::sim::Scenario::built_in());
    let running = start(|config| config.listed = Some(listed)).await;
    let uri = running.device.environment("us").unwrap()["IOTEDGE_WORKLOADURI"].clone();
    let answer = Http::workload(&uri).await.ask("GET", "/modules?api-version=2022-08-03", &[], "").await;
    let modules = answer.json();
    let names: Vec<&str> = modules["modules"].as_array().unwrap().iter().filter_map(|m| m["name"].as_str()).collect();
    assert!(names.contains(&"edgeAgent") && names.contains(&"scorer"), "{names:?}");
    let scorer = modules["modules"].as_array().unwrap().iter().find(|module| module["name"] == "scorer").unwrap();
    assert!(scorer["config"]["settings"]["image"].is_string());
    assert!(scorer["config"]["settings"]["createOptions"]["Labels"].is_object());
    assert_eq!(
        (&scorer["status"]["runtimeStatus"]["status"], &scorer["config"]["env"]),
        (&json!("failed"), &json!([]))
    );
}

#[tokio::test]
async fn connect_is_answered_with_edge_hubs_codes() {
    let running = start(|_| {}).await;
    let device = &running.device;
    let hub = "embedded.azure-devices.net";
    let key = sockets::key(&device.connection_string("us").unwrap());
    let token = |resource: &str, expiry: u64| sign(&key, resource, expiry);
    let user = "embedded.azure-devices.net/edge/us/?api-version=2021-04-12&DeviceClientType=x";
    let good = token(&format!("{hub}/devices/edge/modules/us"), expiry(60));
    let other = sockets::key(&device.connection_string("sibling").unwrap());
    let cases = [
        ("edge/us", user, good.clone(), 0),
        ("edge/us", "anything/edge/us/?api-version=1", good.clone(), 0),
        ("edge/us", user, token("LOCALHOST/devices/EDGE/modules/Us", expiry(60)), 0),
        ("edge/us", user, token(&format!("{hub}/devices/edge"), expiry(60)), 0),
        ("edge/us", user, token(&format!("{hub}/devices/edge/modules/sibling"), expiry(60)), 5),
        ("edge/us", user, token("elsewhere/devices/edge/modules/us", expiry(60)), 5),
        ("edge/us", user, token(&format!("{hub}/devices/edge/modules/us"), expiry(-1)), 5),
        ("edge/us", user, sign(&other, &format!("{hub}/devices/edge/modules/us"), expiry(60)), 5),
        ("edge/us", user, String::new(), 5),
        ("edge/Us", user, good.clone(), 5),
        ("edge/them", &user.replace("/us/", "/them/"), good.clone(), 5),
        ("edge/us", "embedded.azure-devices.net/edge/us/?api-version=", good.clone(), 3),
        ("edge/us", "edge/us", good.clone(), 3),
        ("edge/us", "a/b/edge/us/?api-version=1", good.clone(), 3),
    ];
    for (id, user, password, code) in cases {
        let mut packet = rumqttc::Connect::new(id);
        packet.clean_session = false;
        packet.set_credentials(user, password.clone());
        let mut client = Client::open(device).await;
        client.send(Packet::Connect(packet)).await;
        let Packet::ConnAck(answer) = client.next().await else { panic!("no CONNACK") };
        assert_eq!(answer.code as u8, code, "{id} {user}");
        if code != 0 {
            client.ends().await;
        }
    }
    let mut client = Client::open(device).await;
    client.send(Packet::Connect(rumqttc::Connect::new("edge/us"))).await;
    assert!(matches!(
        client.next().await,
        Packet::ConnAck(ConnAck { code: ConnectReturnCode::ServiceUnavailable, .. })
    ));
    // Before CONNECT there is nothing to say.
    let mut client = Client::open(device).await;
    client.send(Packet::PingReq).await;
    client.ends().await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_refuses_good_tokens() {
    let running = start(|config| config.behaviour.clock_ahead = 86_400).await;
    let mut client = Client::open(&running.device).await;
    client.send(Packet::Connect(connect(&running.device, "us"))).await;
    let Packet::ConnAck(answer) = client.next().await else { panic!("no CONNACK") };
    assert_eq!(answer.code, ConnectReturnCode::NotAuthorized);
}

#[tokio::test]
async fn every_filter_is_granted_and_few_are_heard() {
    let running = start(|_| {}).await;
    let mut client = running.client("us").await;
    let filters = ["$iothub/#", "$iothub/twin/res/200/#", "devices/edge/messages/devicebound/x"];
    let codes = client.subscribe(&filters, QoS::ExactlyOnce).await;
    assert_eq!(codes, vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); 3]);
    client.publish(&format!("{GET}1"), QoS::AtLeastOnce, "").await;
    assert!(matches!(client.next().await, Packet::PubAck(_)), "nobody listens to the answer");
    // Then the one that counts, at QoS 0.
    client.subscribe(&["$iothub/twin/res/#"], QoS::AtMostOnce).await;
    client.publish(&format!("{GET}2"), QoS::AtLeastOnce, " ").await;
    let answer = client.next().await;
    assert!(matches!(&answer, Packet::Publish(Publish { qos: QoS::AtMostOnce, .. })), "{answer:?}");
    let (status, twin) = twin_answer(&answer, "2");
    assert_eq!(status, 200);
    assert_eq!(twin, json!({ "desired": { "interval": 5, "$version": 1 }, "reported": { "$version": 1 } }));
    assert!(matches!(client.next().await, Packet::PubAck(_)), "PUBACK comes after the answer");
}

#[tokio::test]
async fn what_waits_for_the_cloud_delays_what_comes_behind() {
    let cloud = Duration::from_millis(100);
    let running = start(|config| config.behaviour.cloud = cloud).await;
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/res/#"], QoS::AtMostOnce).await;
    let before = tokio::time::Instant::now();
    client.publish(&format!("{GET}1"), QoS::AtLeastOnce, "").await;
    client.publish(EVENTS, QoS::AtLeastOnce, "x").await;
    assert_eq!(twin_answer(&client.next().await, "1").0, 200);
    for id in [2, 3] {
        assert!(matches!(client.next().await, Packet::PubAck(answer) if answer.pkid == id));
    }
    assert!(before.elapsed() >= cloud);
}

#[tokio::test]
async fn reported_patches_are_answered_without_a_version() {
    let running = start(|_| {}).await;
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/res/#"], QoS::AtLeastOnce).await;
    for (patch, status) in [
        (r#"{"a":{"b":1}}"#, 204),
        (r#"{"a":{"c":[1,2]}}"#, 204),
        (r#"{"a.b":1}"#, 400),
        (r#"{"a":[null]}"#, 400),
        ("[1]", 400),
        ("{", 400),
        (r#"{"a":{"b":null}}"#, 204),
    ] {
        client.publish(&format!("{REPORT}x1"), QoS::AtLeastOnce, patch).await;
        let answer = client.answer().await;
        assert_eq!(twin_answer(&answer, "x1"), (status, Value::Null), "{patch}");
        assert!(matches!(client.next().await, Packet::PubAck(_)));
    }
    // Without an id there is no answer, and the patch counts all the same.
    client.publish("$iothub/twin/PATCH/properties/reported/", QoS::AtLeastOnce, r#"{"d":1}"#).await;
    assert!(matches!(client.next().await, Packet::PubAck(_)));
    running.reported(&json!({ "a": { "c": [1, 2] }, "d": 1 })).await;
}

#[tokio::test]
async fn an_old_edge_hub_refuses_more() {
    let running = start(|config| config.behaviour.release = Release::Old).await;
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/res/#"], QoS::AtLeastOnce).await;
    let long = json!({ "a": "x".repeat(4_000), "b": "x".repeat(4_000), "c": "x".repeat(400) }).to_string();
    for (patch, status) in [
        (r#"{"a":{"b":{"c":{"d":{"e":1}}}}}"#, 204),
        (r#"{"a":{"b":{"c":{"d":{"e":{"f":1}}}}}}"#, 400),
        (r#"{"a":[1]}"#, 400),
        (&long, 400),
    ] {
        client.publish(&format!("{REPORT}1"), QoS::AtMostOnce, patch).await;
        assert_eq!(twin_answer(&client.answer().await, "1").0, status, "{patch}");
    }
}

#[tokio::test]
async fn a_patch_that_iot_hub_refuses_poisons_later_ones_until_it_is_overwritten() {
    let running = start(|_| {}).await;
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/res/#"], QoS::AtLeastOnce).await;
    let big = |keys: std::ops::Range<u8>| {
        let members = keys.map(|i| (format!("k{i}"), Value::from("x".repeat(4_000))));
        Value::Object(members.collect())
    };
    // Each patch is legal, and together they are more than 32 KB: edgeHub says 204 to both.
    assert_eq!(client.report(&big(0..5)).await, 204);
    running.reported(&big(0..5)).await;
    assert_eq!(client.report(&big(5..10)).await, 204);
    assert_eq!(client.report(&json!({ "good": 1 })).await, 204);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let twin = client.twin().await;
    assert_eq!(twin["reported"]["good"], Value::Null, "the good patch waits behind the bad one");
    assert_eq!(twin["reported"]["$version"], 2);
    // The keys that were too much are deleted: null is kept in what waits, and overwrites them.
    let nulls = Value::Object((5..10).map(|i| (format!("k{i}"), Value::Null)).collect());
    assert_eq!(client.report(&nulls).await, 204);
    let mut expected = big(0..5);
    expected["good"] = json!(1);
    running.reported(&expected).await;
}

#[tokio::test]
async fn without_iot_hub_the_copy_is_served_and_a_gap_is_caught_up() {
    let running = start(|_| {}).await;
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"], QoS::AtLeastOnce).await;
    running.device.edge_hub().set_upstream(false);
    assert_eq!(client.twin().await, json!({ "desired": {}, "reported": {} }), "neither cloud nor copy");
    running.device.edge_hub().set_upstream(true);
    assert_eq!(client.twin().await["desired"]["$version"], 1);

    let desire = |patch: Value| running.device.iot_hub().desire("us", &patch).unwrap();
    assert_eq!(desire(json!({ "interval": 6 })), 2);
    let (topic, patch) = client.message().await;
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=2");
    assert_eq!(patch, json!({ "interval": 6, "$version": 2 }));
    client.twin().await;

    running.device.edge_hub().set_upstream(false);
    desire(json!({ "a": 1 }));
    desire(json!({ "interval": null }));
    assert_eq!(client.report(&json!({ "off": "line" })).await, 204);
    let twin = client.twin().await;
    assert_eq!((&twin["desired"]["$version"], &twin["reported"]["off"]), (&json!(2), &json!("line")));
    running.device.edge_hub().set_upstream(true);
    let (topic, patch) = client.message().await;
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=4");
    assert_eq!(patch, json!({ "interval": null, "a": 1, "$version": 4 }));
    running.reported(&json!({ "off": "line" })).await;
}

#[tokio::test]
async fn what_edge_hub_cannot_bear_ends_the_connection() {
    let running = start(|_| {}).await;
    let publish = |topic: &str, qos, payload: Vec<u8>| {
        let mut publish = Publish::new(topic, qos, payload);
        publish.pkid = u16::from(qos != QoS::AtMostOnce);
        Packet::Publish(publish)
    };
    for packet in [
        publish(EVENTS, QoS::ExactlyOnce, vec![]),
        publish("$iothub/twin/GET/", QoS::AtLeastOnce, vec![]),
        publish("$iothub/twin/nonsense", QoS::AtMostOnce, vec![]),
        publish(EVENTS, QoS::AtLeastOnce, vec![b'x'; 262_144]),
        Packet::Connect(connect(&running.device, "us")),
        Packet::PingResp,
    ] {
        let mut client = running.client("us").await;
        client.send(packet).await;
        client.ends().await;
    }
    let mut client = running.client("us").await;
    client.raw(&[0xff; 16]).await;
    client.ends().await;
    // And nobody else minds.
    running.client("us").await.publish(EVENTS, QoS::AtLeastOnce, "x").await;
}

#[tokio::test]
async fn a_client_that_keeps_silent_is_dropped() {
    let mut running = start(|_| {}).await;
    let mut client = Client::open(&running.device).await;
    let mut packet = connect(&running.device, "us");
    packet.keep_alive = 1;
    packet.last_will = Some(rumqttc::LastWill::new(format!("{EVENTS}%24.on=died"), "bye", QoS::AtLeastOnce, false));
    client.send(Packet::Connect(packet)).await;
    assert!(matches!(client.next().await, Packet::ConnAck(_)));
    let before = tokio::time::Instant::now();
    client.ends().await;
    assert!(before.elapsed() >= Duration::from_millis(1_400), "{:?}", before.elapsed());
    let Arrival::Telemetry { properties, body, .. } = running.arrival().await else { panic!("no will") };
    assert_eq!((properties.get(Properties::OUTPUT), body.as_slice()), (Some("died"), b"bye".as_slice()));
}

#[tokio::test]
async fn telemetry_arrives_where_a_route_leads_it() {
    let routes = ["FROM /messages/modules/us/outputs/health INTO $upstream"];
    let mut running = start(|config| config.routes = routes.map(|route| route.parse().unwrap()).into()).await;
    let mut client = running.client("us").await;
    for (topic, body) in [
        // Acknowledged and dropped: no template, another's topic, no route.
        ("devices/edge/us/messages/events/", "1"),
        ("devices/edge/modules/sibling/messages/events/%24.on=health", "2"),
        ("devices/edge/modules/us/messages/events/%24.on=other", "3"),
        ("devices/edge/modules/us/messages/events/$.on=health&%24.mid=m%201&a=%C3%A9", "4"),
    ] {
        client.publish(topic, QoS::AtLeastOnce, body).await;
        assert!(matches!(client.next().await, Packet::PubAck(_)), "{topic}");
    }
    let Arrival::Telemetry { module, properties, body } = running.arrival().await else { panic!("no telemetry") };
    assert_eq!((module.as_str(), body.as_slice()), ("us", b"4".as_slice()));
    let properties: Vec<(&str, &str)> = properties.iter().collect();
    assert_eq!(properties, [("$.on", "health"), ("$.mid", "m 1"), ("a", "é")]);
}

#[tokio::test]
async fn inputs_come_one_by_one_and_again_until_they_are_acknowledged() {
    let routes = [
        r#"FROM /messages/modules/sibling/outputs/* INTO BrokeredEndpoint("/modules/us/inputs/in1")"#,
        r#"FROM /twinChangeNotifications INTO BrokeredEndpoint("/modules/us/inputs/changes")"#,
    ];
    let running = start(|config| config.routes = routes.map(|route| route.parse().unwrap()).into()).await;
    let mut sibling = running.client("sibling").await;
    let mut us = running.client("us").await;
    us.subscribe(&["devices/edge/modules/us/#"], QoS::AtLeastOnce).await;
    for body in ["1", "2"] {
        sibling.publish("devices/edge/modules/sibling/messages/events/%24.on=o&k=v", QoS::AtMostOnce, body).await;
    }
    sibling.publish(&format!("{REPORT}1"), QoS::AtMostOnce, r#"{"s":1}"#).await;
    let first = us.next_publish().await;
    let topic = "devices/edge/modules/us/inputs/in1/k=v&%24.cdid=edge&%24.cmid=sibling";
    assert_eq!((first.topic.as_ref(), first.payload.as_ref()), (topic.as_bytes(), b"1".as_slice()));
    // Not acknowledged: it comes again, and the next one waits.
    assert_eq!(us.next_publish().await.payload, first.payload);
    let second = us.next_but(&first).await;
    assert_eq!(second.payload.as_ref(), b"2");
    let change = us.next_but(&second).await;
    assert_eq!(change.topic.as_ref(), b"devices/edge/modules/us/inputs/changes/%24.cdid=edge&%24.cmid=sibling");
    assert_eq!(change.payload.as_ref(), br#"{"s":1}"#);
    // What was on its way comes again in the next connection; the subscription is still there.
    us.send(Packet::Disconnect).await;
    let mut us = running.client("us").await;
    assert_eq!(us.next_publish().await.payload.as_ref(), br#"{"s":1}"#);
}

#[tokio::test]
async fn sessions_outlive_connections_until_edge_hub_loses_them() {
    let running = start(|_| {}).await;
    let present = async |packet| {
        let mut client = Client::open(&running.device).await;
        client.send(Packet::Connect(packet)).await;
        let Packet::ConnAck(answer) = client.next().await else { panic!("no CONNACK") };
        (client, answer.session_present)
    };
    let (mut first, is_present) = present(connect(&running.device, "us")).await;
    assert!(!is_present);
    first.subscribe(&["$iothub/twin/res/#"], QoS::AtLeastOnce).await;
    // The same id again: the older one is closed.
    let (mut second, is_present) = present(connect(&running.device, "us")).await;
    assert!(is_present);
    first.ends().await;
    assert_eq!(second.twin().await["desired"]["interval"], 5);
    running.device.edge_hub().lose_sessions();
    second.ends().await;
    assert!(!running.device.edge_hub().is_connected("us"));
    let (_third, is_present) = present(connect(&running.device, "us")).await;
    assert!(!is_present);
    let mut clean = connect(&running.device, "us");
    clean.clean_session = true;
    let (_fourth, is_present) = present(clean).await;
    assert!(!is_present);
}

#[tokio::test]
async fn tokens_that_expire_end_the_connection_at_the_next_look() {
    let running = start(|_| {}).await;
    let mut client = Client::open(&running.device).await;
    client.send(Packet::Connect(sockets::connect_until(&running.device, "us", expiry(3)))).await;
    assert!(matches!(client.next().await, Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. })));
    client.ends().await;
    assert!(seconds() >= expiry(0), "the clock goes on");
    assert!(!running.device.edge_hub().is_connected("us"));
}

#[tokio::test]
async fn methods_reach_those_who_subscribe() {
    let running = start(|_| {}).await;
    let service = running.device.service_connection_string();
    let path = "/twins/edge/modules/us/methods?api-version=2021-04-12";
    let call = async |body: Value| Http::service(&running.device).await.post(path, &service, &body).await;
    let body = json!({ "methodName": "Get State", "payload": { "x": 1 }, "responseTimeoutInSeconds": 5 });

    let answer = call(body.clone()).await;
    assert_eq!((answer.status, answer.header("iothub-errorcode")), (404, Some("DeviceNotOnline")));
    let mut client = running.client("us").await;
    assert_eq!(call(body.clone()).await.status, 404, "connected, not subscribed");

    // A call that waits comes a while after the subscription.
    let waiting = json!({ "methodName": "a", "payload": "", "connectTimeoutInSeconds": 10 });
    let module = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = tokio::time::Instant::now();
        client.subscribe(&["$iothub/methods/POST/#"], QoS::AtMostOnce).await;
        let request = client.next_publish().await;
        assert!(before.elapsed() >= Duration::from_millis(50));
        assert_eq!(request.payload.as_ref(), br#""""#);
        let topic = String::from_utf8(request.topic.to_vec()).unwrap();
        let rid = topic.strip_prefix("$iothub/methods/POST/a/?$rid=").unwrap().to_uppercase();
        client.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), QoS::AtMostOnce, "").await;
    };
    let (answer, ()) = tokio::join!(call(waiting), module);
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": 200, "payload": null })));

    // Its answer is any status, and a late one is nobody's.
    let module = async {
        let request = client.next_publish().await;
        let topic = String::from_utf8(request.topic.to_vec()).unwrap();
        let rid = topic.strip_prefix("$iothub/methods/POST/Get%20State/?$rid=").unwrap();
        assert_eq!(request.payload.as_ref(), br#"{"x":1}"#);
        let topic = format!("$iothub/methods/res/fine/?$rid={rid}");
        for _ in 0..2 {
            client.publish(&topic, QoS::AtLeastOnce, r#"{"ok":true}"#).await;
            assert!(matches!(client.next().await, Packet::PubAck(_)));
        }
    };
    let (answer, ()) = tokio::join!(call(body.clone()), module);
    assert_eq!(answer.json(), json!({ "status": 400_000, "payload": { "ok": true } }));

    for body in [
        json!({ "methodName": "", "payload": null }),
        json!({ "methodName": "m".repeat(101) }),
        json!({ "methodName": "m", "responseTimeoutInSeconds": 4 }),
        json!({ "methodName": "m", "connectTimeoutInSeconds": 301 }),
        json!({ "methodName": "m", "payload": "x".repeat(131_072) }),
        json!({ "payload": 1 }),
    ] {
        assert_eq!(call(body.clone()).await.status, 400, "{body}");
    }
    running.device.edge_hub().set_upstream(false);
    assert_eq!(call(body).await.status, 404, "the cloud does not reach it");

    // Another module can, through edgeHub, with its own token.
    let token = sockets::module_token(&running.device, "sibling", expiry(60));
    let headers = [("x-ms-edge-moduleId", "edge/sibling"), ("authorization", token.as_str())];
    let body = json!({ "methodName": "b", "payload": null, "responseTimeoutInSeconds": 5 }).to_string();
    let module = async {
        let request = client.next_publish().await;
        let topic = String::from_utf8(request.topic.to_vec()).unwrap();
        let rid = topic.strip_prefix("$iothub/methods/POST/b/?$rid=").unwrap();
        client.publish(&format!("$iothub/methods/res/201/?$rid={rid}"), QoS::AtMostOnce, "1").await;
    };
    let mut http = Http::service(&running.device).await;
    let (answer, ()) = tokio::join!(http.ask("POST", path, &headers, &body), module);
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": 201, "payload": 1 })));
    let answer = Http::service(&running.device).await;
    let mut answer = answer;
    let wrong = [("x-ms-edge-moduleId", "edge/us"), ("authorization", token.as_str())];
    assert_eq!(answer.ask("POST", path, &wrong, &body).await.status, 401);
    // Nobody answers: 504 after five seconds.
    let answer = Http::service(&running.device).await.ask("POST", path, &headers, &body).await;
    assert_eq!((answer.status, answer.header("iothub-errorcode")), (504, Some("GatewayTimeout")));
}

#[tokio::test]
async fn services_read_and_write_twins() {
    let running = start(|_| {}).await;
    let service = running.device.service_connection_string();
    let mut client = running.client("us").await;
    client.subscribe(&["$iothub/twin/PATCH/properties/desired/#"], QoS::AtLeastOnce).await;
    let path = "/twins/edge/modules/us?api-version=2021-04-12";
    let token = sockets::service_token(&service, "service", expiry(60));
    let ask = async |method: &str, path: &str, etag: &str, body: Value| {
        let headers = [("authorization", token.as_str()), ("if-match", etag)];
        Http::service(&running.device).await.ask(method, path, &headers, &body.to_string()).await
    };
    let twin = ask("GET", path, "*", Value::Null).await;
    let etag = twin.json()["etag"].as_str().unwrap().to_owned();
    assert_eq!(twin.header("etag"), Some(format!("\"{etag}\"").as_str()));
    assert_eq!((&twin.json()["deviceId"], &twin.json()["moduleId"]), (&json!("edge"), &json!("us")));
    assert_eq!(twin.json()["properties"]["desired"]["interval"], 5);

    let change = json!({ "properties": { "desired": { "interval": null, "a": { "b": 1 } } }, "tags": { "t": 1 } });
    let quoted = format!("\"{etag}\"");
    let answer = ask("PATCH", path, &quoted, change.clone()).await;
    assert_eq!(answer.json()["properties"]["desired"]["$version"], 2);
    assert_eq!(answer.json()["tags"], json!({ "t": 1 }));
    assert_eq!(client.message().await.1, json!({ "interval": null, "a": { "b": 1 }, "$version": 2 }));
    assert_eq!(ask("PATCH", path, &quoted, change).await.status, 412, "the etag is an old one");
    let answer = ask("PUT", path, "\"*\"", json!({ "properties": { "desired": { "c": 1 } } })).await;
    assert_eq!(answer.json()["properties"]["desired"]["c"], 1);
    assert_eq!(client.message().await.1, json!({ "a": null, "c": 1, "$version": 3 }));

    let large = json!({ "properties": { "desired": { "a.b": 1 } } });
    assert_eq!(ask("PATCH", path, "*", large).await.status, 400);
    assert_eq!(ask("GET", &path.replace("us?", "them?"), "*", Value::Null).await.status, 404);
    assert_eq!(ask("GET", &path.replace("edge/", "cloud/"), "*", Value::Null).await.status, 404);
    assert_eq!(ask("GET", "/twins/edge/modules/%24edgeAgent", "*", Value::Null).await.status, 200);
    assert_eq!(ask("GET", "/statistics/service", "*", Value::Null).await.status, 404);
    let listed = ask("GET", "/devices/edge/modules", "*", Value::Null).await.json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|module| module["moduleId"].as_str()).collect();
    assert_eq!(ids, ["$edgeAgent", "sibling", "us"]);

    let module = sockets::module_token(&running.device, "us", expiry(60));
    let expired = sockets::service_token(&service, "service", expiry(-1));
    let other_policy = sockets::service_token(&service, "device", expiry(60));
    for token in [module.as_str(), expired.as_str(), other_policy.as_str(), ""] {
        let mut http = Http::service(&running.device).await;
        let answer = http.ask("GET", path, &[("authorization", token)], "").await;
        assert_eq!((answer.status, answer.header("iothub-errorcode")), (401, Some("IotHubUnauthorizedAccess")));
        assert!(answer.json()["Message"].is_string());
    }
}

#[tokio::test]
async fn mqtt_goes_over_websocket_too() {
    let mut running = start(|_| {}).await;
    let url = format!("ws://localhost:{}/$iothub/websocket", running.device.https_port());
    let broker = rumqttc::Broker::websocket(url).unwrap();
    let mut options = rumqttc::MqttOptions::new("edge/us", broker);
    let tls = std::sync::Arc::new(sockets::client_tls(&running.device));
    options.set_transport(rumqttc::Transport::wss_with_config(rumqttc::TlsConfiguration::Rustls(tls)));
    let rumqttc::ConnectAuth::UsernamePassword { username, password } = connect(&running.device, "us").auth else {
        panic!("no credentials")
    };
    options.set_credentials(username, password);
    options.set_clean_session(false);
    options.set_max_packet_size(262_144, 262_144);
    let (client, mut events) = rumqttc::AsyncClient::builder(options).capacity(10).build();
    let polling = tokio::spawn(async move {
        loop {
            if let Err(error) = events.poll().await {
                panic!("{error}");
            }
        }
    });
    let body = "x".repeat(100_000);
    within(client.publish(format!("{EVENTS}%24.on=o"), body.clone(), rumqttc::PublishOptions::new(QoS::AtLeastOnce)))
        .await
        .unwrap();
    let Arrival::Telemetry { body: arrived, .. } = running.arrival().await else { panic!("no telemetry") };
    assert_eq!(arrived, body.as_bytes());
    polling.abort();
    // No sub-protocol, no WebSocket.
    let answer = Http::service(&running.device).await.ask("GET", "/$iothub/websocket", &[], "").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_device_says_what_is_in_its_way() {
    let running = start(|_| {}).await;
    let taken = running.device.mqtt_port();
    let folder = Folder::new();
    let config = |change: fn(&mut EmbeddedConfig)| {
        let mut config = EmbeddedConfig::new(folder.path(), BTreeMap::from([("us".to_owned(), json!({}))]));
        change(&mut config);
        config
    };
    let mut port = config(|_| {});
    port.mqtt_port = taken;
    let error = EmbeddedDevice::start(port).await.unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("choose another port"), "{error}");
    let mut long = config(|_| {});
    long.folder = folder.path().join("x".repeat(120));
    let error = EmbeddedDevice::start(long).await.unwrap_err().to_string();
    assert!(error.contains("us.sock") && error.contains("short path"), "{error}");
    assert!(!format!("{:?}", running.device).contains(&sockets::key(&running.device.connection_string("us").unwrap())));
}

/// Our own session with the device, as it comes from the environment.
fn session(running: &Running, environment: &BTreeMap<&'static str, String>, mqtt: u16, token: Duration) -> Mqtt {
    let identity = Identity::from_variables(|name| environment.get(name).cloned()).unwrap();
    let endpoint = Endpoint { mqtt, web_socket: running.device.https_port(), ..Endpoint::of(&identity) };
    let pause = Duration::from_millis(10);
    let pace = Pace { pause: (pause, pause), token, ..Pace::default() };
    let credentials = identity.credentials();
    Mqtt::start(identity, endpoint, credentials, pace)
}

#[tokio::test]
async fn our_own_session_lives_on_the_device() {
    let mut running = start(|_| {}).await;
    let environment = running.device.environment("us").unwrap();
    let session = session(&running, &environment, running.device.mqtt_port(), Duration::from_secs(3_600));
    let twin = within(session.twin()).await.unwrap();
    assert_eq!(twin, json!({ "desired": { "interval": 5, "$version": 1 }, "reported": { "$version": 1 } }));
    assert!(matches!(within(session.next()).await, Some(Event::Desired(desired)) if desired["interval"] == 5));

    within(session.report(json!({ "a": 1 }))).await.unwrap();
    assert!(matches!(running.arrival().await, Arrival::Reported { patch, .. } if patch == json!({ "a": 1 })));
    let refused = within(session.report(json!({ "a.b": 1 }))).await;
    assert!(matches!(refused, Err(SessionError::Refused { status: 400, .. })), "{refused:?}");

    // edgeHub closes the connection, forgets the session, and misses a change: all is as before afterwards.
    for lose in [false, true] {
        let edge_hub = running.device.edge_hub();
        let before = edge_hub.admissions("us");
        edge_hub.set_upstream(false);
        let version = running.device.iot_hub().desire("us", &json!({ "lost": lose })).unwrap();
        if lose {
            edge_hub.lose_sessions();
        } else {
            assert!(edge_hub.disconnect("us"));
        }
        edge_hub.set_upstream(true);
        let Some(Event::Desired(desired)) = within(session.next()).await else { panic!("no desired properties") };
        assert_eq!((&desired["lost"], &desired["$version"]), (&json!(lose), &json!(version)));
        assert_eq!(running.device.edge_hub().admissions("us"), before + 1);
    }

    let service = running.device.service_connection_string();
    let body = json!({ "methodName": "Get State", "payload": { "x": 1 } });
    let path = "/twins/edge/modules/us/methods?api-version=2021-04-12";
    let module = async {
        let Some(Event::Method(request, answer)) = within(session.next()).await else { panic!("no method") };
        assert_eq!((request.name.as_str(), &request.payload), ("Get State", &json!({ "x": 1 })));
        answer.send(Response::ok(json!({ "fine": true })));
    };
    let mut http = Http::service(&running.device).await;
    let (answer, ()) = tokio::join!(http.post(path, &service, &body), module);
    assert_eq!(answer.json(), json!({ "status": 200, "payload": { "fine": true } }));

    within(session.close()).await;
    assert!(within(session.next()).await.is_none());
    until(|| !running.device.edge_hub().is_connected("us")).await;
}

#[tokio::test]
async fn our_own_session_renews_its_token() {
    let running = start(|_| {}).await;
    let environment = running.device.environment("us").unwrap();
    let session = session(&running, &environment, running.device.mqtt_port(), Duration::from_secs(3));
    within(session.report(json!({ "a": 1 }))).await.unwrap();
    let before = running.device.edge_hub().admissions("us");
    until(|| running.device.edge_hub().admissions("us") > before).await;
    within(session.report(json!({ "b": 1 }))).await.unwrap();
    within(session.close()).await;
}

#[tokio::test]
async fn our_own_session_takes_the_websocket_where_mqtt_is_closed_and_a_connection_string_for_an_environment() {
    let running = start(|_| {}).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let environment = BTreeMap::from([
        ("EdgeHubConnectionString", running.device.connection_string("us").unwrap()),
        ("EdgeModuleCACertificateFile", running.device.ca_file().to_str().unwrap().to_owned()),
    ]);
    let session = session(&running, &environment, nobody, Duration::from_secs(3_600));
    within(session.report(json!({ "a": "x".repeat(4_000) }))).await.unwrap();
    running.reported(&json!({ "a": "x".repeat(4_000) })).await;
    within(session.close()).await;
}

#[test]
fn whatever_a_client_sends_edge_hub_stays() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let running = runtime.block_on(start(|_| {}));
    let prefixes = ["", "$iothub/", GET, REPORT, "$iothub/methods/res/", EVENTS, "devices/edge/modules/"];
    let topic = (proptest::sample::select(prefixes.to_vec()), "[^+#\0]{0,40}")
        .prop_map(|(prefix, rest)| prefix.to_owned() + &rest);
    let payload = prop_oneof![
        any::<Vec<u8>>(),
        r#"\{"[a-z.$]{0,9}":(\[null\]|1e999|-?[0-9]{1,20}|\{\}|"\PC{0,9}")\}"#.prop_map(String::into_bytes),
    ];
    let publish = (topic, payload, 0..3_u8).prop_map(|(topic, payload, qos)| {
        let mut publish = Publish::new(topic, rumqttc::qos(qos).unwrap(), payload);
        publish.pkid = u16::from(qos > 0);
        Packet::Publish(publish)
    });
    let filter =
        prop_oneof!["\\PC{0,20}", Just("$iothub/twin/res/#".to_owned()), Just("devices/edge/modules/us/#".to_owned())];
    let subscribe = (filter, 0..3_u8).prop_map(|(filter, qos)| {
        let mut subscribe = rumqttc::Subscribe::new(filter, rumqttc::qos(qos).unwrap());
        subscribe.pkid = 1;
        Packet::Subscribe(subscribe)
    });
    let packet = prop_oneof![publish, subscribe, any::<u16>().prop_map(|id| Packet::PubAck(PubAck::new(id)))];
    let cases = (proptest::collection::vec(packet, 0..8), any::<Vec<u8>>(), any::<bool>());
    let config = proptest::test_runner::Config { cases: 300, failure_persistence: None, ..Default::default() };
    let sent = proptest::test_runner::TestRunner::new(config).run(&cases, |(packets, rest, is_let_in)| {
        let mut bytes = bytes::BytesMut::new();
        if is_let_in {
            Packet::Connect(connect(&running.device, "us")).write(&mut bytes, usize::MAX).unwrap();
        }
        for packet in packets {
            // What the codec does not write, `rest` may say.
            let _ = packet.write(&mut bytes, usize::MAX);
        }
        bytes.extend_from_slice(&rest);
        let before = running.device.edge_hub().admissions("us");
        runtime.block_on(async {
            let (mut near, far) = tokio::io::duplex(1 << 20);
            let client = async {
                near.write_all(&bytes).await.unwrap();
                near.shutdown().await.unwrap();
                let mut answers = Vec::new();
                near.read_to_end(&mut answers).await.unwrap();
            };
            within(async { tokio::join!(running.device.edge_hub().serve(far), client) }).await;
        });
        assert_eq!(running.device.edge_hub().admissions("us"), before + u64::from(is_let_in));
        assert!(!running.device.edge_hub().is_connected("us"));
        Ok(())
    });
    sent.unwrap();
}
