//! The session over MQTT with a broker that a test plays packet by packet, over real TLS on loopback.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod authority;
mod broker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use authority::{Authority, TestCredentials, identity};
use broker::{Broker, LONG, Peer, Speaks, rid};
use edgeshift::agent::{Agent, Clock};
use edgeshift::hub::message::{self, Input, Message};
use edgeshift::hub::method::Response;
use edgeshift::link::{Endpoint, Event, Mqtt, Pace, Session, SessionError};
use rumqttc::{ConnectAuth, ConnectReturnCode, Packet, PubAck, QoS};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

const TWIN: &str = r#"{"desired":{"a":1,"$version":4},"reported":{"b":2,"$version":7}}"#;

/// In a hurry, except for what must not be in time.
fn pace() -> Pace {
    Pace {
        pause: (Duration::from_millis(20), Duration::from_millis(200)),
        patience: Duration::from_secs(5),
        request: Duration::from_secs(5),
        twin: Duration::from_millis(20),
        drain: Duration::from_secs(2),
        ..Pace::default()
    }
}

fn start(port: u16, credentials: &Arc<TestCredentials>, pace: Pace) -> Arc<Mqtt> {
    let endpoint = Endpoint { host: "localhost".to_owned(), mqtt: port, web_socket: 1 };
    Arc::new(Mqtt::start(identity(), endpoint, Arc::clone(credentials) as _, pace))
}

/// A session that has read [`TWIN`], and the broker's end of it.
async fn connected() -> (Broker, Peer, Arc<Mqtt>) {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let session = start(broker.port, &TestCredentials::new([&authority.pem]), pace());
    let mut peer = broker.subscribed().await;
    peer.twin(TWIN).await;
    assert_eq!(desired(&session).await["$version"], 4);
    (broker, peer, session)
}

async fn next(session: &Mqtt) -> Option<Event> {
    timeout(LONG, session.next()).await.expect("something happens")
}

async fn desired(session: &Mqtt) -> Value {
    match next(session).await {
        Some(Event::Desired(desired)) => desired,
        other => panic!("no desired properties: {other:?}"),
    }
}

fn telemetry(text: &str) -> Message {
    let mut message = message::gpu(1, "2026-01-01T00:00:00Z".parse().unwrap(), &[], &BTreeMap::new());
    message.body = json!({ "schema": "test/1", "text": text });
    message
}

#[tokio::test]
async fn a_session_introduces_itself_subscribes_and_reads_the_twin() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let credentials = TestCredentials::new([&authority.pem]);
    let session = start(broker.port, &credentials, pace());
    assert!(!session.is_connected());
    let (mut peer, connect) = broker.accepted().await;
    assert_eq!(connect.client_id, "edge01/shift");
    assert_eq!((connect.clean_session, connect.keep_alive, connect.last_will), (false, 60, None));
    let ConnectAuth::UsernamePassword { username, password } = connect.auth else { panic!("{:?}", connect.auth) };
    assert!(username.starts_with("h.azure-devices.net/edge01/shift/?api-version=2021-04-12&DeviceClientType="));
    let expiry = credentials.signed.lock().unwrap()[0].as_second();
    let password = String::from_utf8(password.to_vec()).unwrap();
    let sr = "sr=h.azure-devices.net%2Fdevices%2Fedge01%2Fmodules%2Fshift&sig=";
    assert!(password.starts_with(&format!("SharedAccessSignature {sr}")), "{password}");
    assert!(password.ends_with(&format!("&se={expiry}")), "{password}");
    let filters = peer.subscribe().await;
    let expected = [
        "$iothub/twin/res/#",
        "$iothub/twin/PATCH/properties/desired/#",
        "$iothub/methods/POST/#",
        "devices/edge01/modules/shift/inputs/#",
    ];
    assert_eq!(filters, expected.map(|filter| (filter.to_owned(), QoS::AtLeastOnce)));
    peer.twin(TWIN).await;
    assert_eq!(desired(&session).await, json!({ "a": 1, "$version": 4 }));
    assert!(session.is_connected());
    // Asked for by the agent, it is asked for on the wire.
    let (twin, ()) = tokio::join!(session.twin(), peer.twin(TWIN));
    assert_eq!(twin.unwrap()["reported"], json!({ "b": 2, "$version": 7 }));
}

#[tokio::test]
async fn patches_are_applied_in_order_or_the_twin_is_read_again() {
    let (_broker, mut peer, session) = connected().await;
    let topic = |version: u64| format!("$iothub/twin/PATCH/properties/desired/?$version={version}");
    peer.tell(topic(5), r#"{"a":null,"c":{"d":1},"$version":5}"#).await;
    assert_eq!(desired(&session).await, json!({ "c": { "d": 1 }, "$version": 5 }));
    peer.tell(topic(9), r#"{"c":{"e":2},"$version":9}"#).await;
    peer.twin(r#"{"desired":{"c":{"e":2},"f":3,"$version":9},"reported":{"$version":7}}"#).await;
    assert_eq!(desired(&session).await, json!({ "c": { "e": 2 }, "f": 3, "$version": 9 }));
}

#[tokio::test]
async fn a_patch_gets_its_verdict() {
    let (_broker, mut peer, session) = connected().await;
    let patch = json!({ "health": "pass" });
    for (answer, expected) in [
        ("204/?$rid=", "ok"),
        ("204/?$version=8&$rid=", "ok"),
        ("429/?$rid=", "unavailable"),
        ("503/?$rid=", "unavailable"),
        ("400/?$rid=", "refused 400"),
        ("413/?$rid=", "refused 413"),
    ] {
        let told = async {
            let publish = peer.publish("$iothub/twin/PATCH/properties/reported/?$rid=", true).await;
            assert_eq!(serde_json::from_slice::<Value>(&publish.payload).unwrap(), patch);
            assert_eq!((publish.qos, publish.retain), (QoS::AtLeastOnce, false));
            peer.tell("$iothub/twin/res/204/?$rid=somebody-elses", "").await;
            peer.tell(format!("$iothub/twin/res/{answer}{}", rid(&publish)), "").await;
        };
        let (verdict, ()) = tokio::join!(session.report(patch.clone()), told);
        let verdict = match verdict {
            Ok(()) => "ok".to_owned(),
            Err(SessionError::Unavailable(_)) => "unavailable".to_owned(),
            Err(SessionError::Refused { status, .. }) => format!("refused {status}"),
        };
        assert_eq!(verdict, expected, "{answer}");
    }
}

#[tokio::test]
async fn telemetry_is_done_when_it_is_acknowledged() {
    let (_broker, mut peer, session) = connected().await;
    let mut sending = std::pin::pin!(session.send(telemetry("é")));
    let publish = tokio::select! {
        sent = &mut sending => panic!("not acknowledged: {sent:?}"),
        publish = peer.publish("devices/edge01/modules/shift/messages/events/%24.on=gpu&", false) => publish,
    };
    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
    let rest = "&%24.ct=application%2Fjson&%24.ce=utf-8&%24.ctime=2026-01-01T00%3A00%3A00Z&%24.schema=test%2F1";
    assert!(topic.ends_with(rest), "{topic}");
    assert_eq!(serde_json::from_slice::<Value>(&publish.payload).unwrap()["text"], "é");
    assert!(timeout(Duration::from_millis(50), &mut sending).await.is_err());
    peer.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
    timeout(LONG, sending).await.unwrap().unwrap();
    // More than edgeHub takes is refused before it would end the connection.
    let refused = session.send(telemetry(&"x".repeat(262_144))).await.unwrap_err();
    assert!(matches!(refused, SessionError::Refused { status: 413, .. }), "{refused}");
    assert!(session.is_connected());
}

#[tokio::test]
async fn a_lost_connection_is_said_and_made_anew() {
    let (mut broker, mut peer, session) = connected().await;
    let sending = async {
        peer.publish("devices/", false).await;
        drop(peer);
    };
    let (sent, ()) = tokio::join!(session.send(telemetry("lost")), sending);
    assert!(matches!(sent, Err(SessionError::Unavailable(_))), "{sent:?}");
    // The session of the broker is there still, and all the same everything is subscribed and read again.
    let mut peer = broker.subscribed().await;
    peer.twin(r#"{"desired":{"a":2,"$version":5},"reported":{"$version":7}}"#).await;
    assert_eq!(desired(&session).await, json!({ "a": 2, "$version": 5 }));
    let (sent, _) = tokio::join!(session.send(telemetry("again")), peer.publish("devices/", true));
    sent.unwrap();
}

#[tokio::test]
async fn a_request_waits_for_a_connection_a_little() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let session = start(broker.port, &TestCredentials::new([&authority.pem]), pace());
    let played = async {
        let mut peer = broker.subscribed().await;
        peer.twin(TWIN).await;
        peer.twin(TWIN).await;
        peer
    };
    let (twin, _peer) = tokio::join!(session.twin(), played);
    assert_eq!(twin.unwrap()["desired"]["$version"], 4);
    // Where there is none, it says why.
    let closed = Endpoint { host: "localhost".to_owned(), mqtt: 1, web_socket: 1 };
    let pace = Pace { patience: Duration::from_millis(300), ..pace() };
    let session = Mqtt::start(identity(), closed, TestCredentials::new([&authority.pem]), pace);
    let error = session.twin().await.unwrap_err().to_string();
    assert!(error.contains("mqtts://localhost:1: ") && error.contains("wss://localhost:1/"), "{error}");
}

#[tokio::test]
async fn methods_are_handed_on_and_answered() {
    let (_broker, mut peer, session) = connected().await;
    peer.tell("$iothub/methods/POST/Get%20State/?$rid=a-1", r#"{"x":1}"#).await;
    peer.tell("$iothub/methods/POST/ping/?$rid=a-2", "").await;
    let Some(Event::Method(first, first_answer)) = next(&session).await else { panic!() };
    assert_eq!((first.name.as_str(), &first.payload), ("Get State", &json!({ "x": 1 })));
    let Some(Event::Method(second, second_answer)) = next(&session).await else { panic!() };
    assert_eq!((second.name.as_str(), &second.payload), ("ping", &Value::Null));
    // In any order.
    second_answer.send(Response::ok(json!({ "ok": true })));
    let answer = peer.publish("$iothub/methods/res/200/?$rid=a-2", true).await;
    assert_eq!(&answer.payload[..], br#"{"ok":true}"#);
    first_answer.send(Response::error(404, "no"));
    peer.publish("$iothub/methods/res/404/?$rid=a-1", true).await;
    // Who forgets to answer has answered.
    peer.tell("$iothub/methods/POST/forgotten/?$rid=a-3", "null").await;
    drop(next(&session).await);
    peer.publish("$iothub/methods/res/500/?$rid=a-3", true).await;
    peer.tell("$iothub/methods/POST/garbled/?$rid=a-4", "{").await;
    peer.publish("$iothub/methods/res/400/?$rid=a-4", true).await;
}

#[tokio::test]
async fn a_consumer_that_sleeps_stalls_nothing() {
    let (_broker, mut peer, session) = connected().await;
    for i in 0..17 {
        peer.tell(format!("$iothub/methods/POST/ping/?$rid=m-{i}"), "").await;
        peer.tell(
            format!("$iothub/twin/PATCH/properties/desired/?$version={}", 5 + i),
            format!(r#"{{"n":{i},"$version":{}}}"#, 5 + i),
        )
        .await;
    }
    peer.publish("$iothub/methods/res/429/?$rid=m-16", true).await;
    let (sent, _) = tokio::join!(session.send(telemetry("still here")), peer.publish("devices/", true));
    sent.unwrap();
    let mut methods = 0;
    let latest = loop {
        match next(&session).await {
            Some(Event::Method(..)) => methods += 1,
            Some(Event::Desired(desired)) => break desired,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((methods, &latest["n"], &latest["$version"]), (16, &json!(16), &json!(21)));
}

#[tokio::test]
async fn a_refused_token_is_signed_again_and_trust_is_read_again() {
    let (authority, stranger) = (Authority::new("edge"), Authority::new("stranger"));
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let credentials = TestCredentials::new([&stranger.pem, &authority.pem, &authority.pem]);
    let session = start(broker.port, &credentials, pace());
    // The first one ends in the handshake, since nobody there is trusted.
    let mut refused = broker.connection().await;
    refused.connect().await;
    refused.answer(ConnectReturnCode::NotAuthorized, false).await;
    let mut peer = broker.subscribed().await;
    peer.twin(TWIN).await;
    assert_eq!(credentials.signed.lock().unwrap().len(), 3);
    assert_eq!(desired(&session).await["$version"], 4);
}

#[tokio::test]
async fn only_the_trust_bundle_is_trusted() {
    let (authority, stranger) = (Authority::new("edge"), Authority::new("stranger"));
    let broker = Broker::start(&authority, Speaks::Mqtt).await;
    let pace = Pace { patience: Duration::from_millis(300), ..pace() };
    let session = start(broker.port, &TestCredentials::new([&stranger.pem]), pace);
    let error = session.twin().await.unwrap_err().to_string();
    assert!(error.contains("the trust bundle must hold the authority of edgeHub"), "{error}");
    // And no way around it is tried.
    assert!(!error.contains("wss://"), "{error}");
}

#[tokio::test]
async fn a_token_is_renewed_without_losing_anything() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let credentials = TestCredentials::new([&authority.pem]);
    let session = start(broker.port, &credentials, Pace { token: Duration::from_secs(2), ..pace() });
    let mut peer = broker.subscribed().await;
    peer.twin(TWIN).await;
    desired(&session).await;
    // A message under way when the token is due.
    let late = Arc::clone(&session);
    let late = tokio::spawn(async move { late.send(telemetry("late")).await });
    let publish = peer.publish("devices/", false).await;
    let signed = || credentials.signed.lock().unwrap().len();
    timeout(LONG, async {
        while signed() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    // The new token is there before anything is closed; requests wait for the next connection meanwhile.
    let next = Arc::clone(&session);
    let next = tokio::spawn(async move { next.send(telemetry("next")).await });
    peer.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
    late.await.unwrap().unwrap();
    assert_eq!(peer.next().await, Some(Packet::Disconnect));
    let mut peer = broker.subscribed().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let publish = peer.publish("", true).await;
        seen.push(publish.topic[0]);
    }
    seen.sort_unstable();
    assert_eq!(seen, b"$d", "the twin is asked for, and the message that waited is sent");
    timeout(LONG, next).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn web_sockets_are_used_where_the_port_of_mqtt_is_closed() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::WebSocket).await;
    let endpoint = Endpoint { host: "localhost".to_owned(), mqtt: 1, web_socket: broker.port };
    let credentials = TestCredentials::new([&authority.pem]);
    let session = Mqtt::start(identity(), endpoint, credentials, pace());
    let mut peer = broker.subscribed().await;
    peer.twin(TWIN).await;
    assert_eq!(desired(&session).await["$version"], 4);
    let (sent, _) = tokio::join!(session.send(telemetry(&"x".repeat(200_000))), peer.publish("devices/", true));
    sent.unwrap();
}

#[tokio::test]
async fn a_twin_that_edge_hub_does_not_know_is_asked_for_again() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let session = start(broker.port, &TestCredentials::new([&authority.pem]), pace());
    let mut peer = broker.subscribed().await;
    peer.twin(r#"{"desired":{},"reported":{}}"#).await;
    let get = peer.publish("$iothub/twin/GET/", true).await;
    peer.tell(format!("$iothub/twin/res/500/?$rid={}", rid(&get)), "").await;
    peer.twin("garbage").await;
    // Unknown is no configuration: nothing was handed on so far.
    peer.twin(TWIN).await;
    assert_eq!(desired(&session).await["$version"], 4);
    let (twin, ()) = tokio::join!(session.twin(), peer.twin(r#"{"desired":{},"reported":{}}"#));
    assert!(matches!(twin, Err(SessionError::Unavailable(_))), "{twin:?}");
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let (mut broker, mut peer, session) = connected().await;
    for (topic, payload) in [
        ("/", ""),
        ("$iothub/twin/res/", "{}"),
        ("$iothub/twin/res/200/?$rid=", "{}"),
        ("$iothub/twin/res/99999/?$rid=1", "{}"),
        ("$iothub/methods/POST/?$rid=1", "{}"),
        ("$iothub/methods/POST/a/b/c", "{}"),
        ("devices/edge01/modules/shift/inputs/", "x"),
        ("devices/edge01/modules/shift/inputs/in/a/b", "x"),
        ("devices/other/modules/other/inputs/in", "x"),
        ("%FF%FE", "x"),
    ] {
        peer.tell(topic, payload).await;
    }
    for payload in ["", "[", "null", "7", r#"{"$version":"x"}"#] {
        peer.tell("$iothub/twin/PATCH/properties/desired/", payload).await;
    }
    // Of all that, something was missed only once or twice.
    peer.twin(TWIN).await;
    peer.tell("$iothub/methods/POST/ping/?$rid=alive", "").await;
    let Some(Event::Method(request, answer)) = next(&session).await else { panic!() };
    assert_eq!(request.name, "ping");
    answer.send(Response::ok(Value::Null));
    while !peer.publish("", true).await.topic.starts_with(b"$iothub/methods/res/200/?$rid=alive") {}
    // What is no MQTT ends the connection, not the session.
    peer.garble().await;
    broker.subscribed().await.twin(TWIN).await;
}

#[tokio::test]
async fn messages_to_inputs_are_handed_on_but_for_our_own() {
    let (_broker, mut peer, session) = connected().await;
    for (sender, body) in [("shift", "ours"), ("scorer", "\u{0}"), ("%24edgeHub", r#"{"a":1}"#)] {
        let topic = format!("devices/edge01/modules/shift/inputs/twins/%24.cdid=edge01&%24.cmid={sender}");
        peer.tell(topic, body).await;
    }
    // A module of another device may have our name.
    peer.tell("devices/edge01/modules/shift/inputs/twins/%24.cdid=edge02&%24.cmid=shift", "x").await;
    for (sender, body) in [("scorer", "\u{0}"), ("$edgeHub", r#"{"a":1}"#), ("shift", "x")] {
        let Some(Event::Input(input)) = next(&session).await else { panic!() };
        let sender_module = Some(sender.to_owned());
        assert_eq!(input, Input { name: "twins".to_owned(), sender_module, body: body.as_bytes().to_vec() });
    }
}

/// Answers what an agent asks until it has answered the method `rid`.
async fn attend(peer: &mut Peer, rid_of_method: &str) {
    loop {
        let Some(Packet::Publish(publish)) = peer.next().await else { continue };
        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
        if topic.starts_with("$iothub/twin/GET/") {
            peer.tell(format!("$iothub/twin/res/200/?$rid={}", rid(&publish)), TWIN).await;
        } else if topic.starts_with("$iothub/twin/PATCH/") {
            peer.tell(format!("$iothub/twin/res/204/?$rid={}", rid(&publish)), "").await;
        }
        peer.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
        if topic == format!("$iothub/methods/res/200/?$rid={rid_of_method}") {
            return;
        }
    }
}

#[tokio::test]
async fn garbage_does_not_end_the_agent() {
    let (mut broker, mut peer, session) = connected().await;
    let (stop, stopped) = watch::channel(false);
    let (clock, log) = (Clock::system(), Arc::new(|_| {}));
    let agent = Agent { sources: Vec::new(), session: Arc::clone(&session), clock, listener: None, log };
    let agent = tokio::spawn(agent.run(stopped));
    let deep = "[".repeat(100_000);
    for (topic, payload) in [
        ("/", ""),
        ("$iothub/twin/res/200/?$rid=", "{}"),
        ("$iothub/methods/POST/check/?$rid=1", "{"),
        ("$iothub/methods/POST/check/?$rid=2", r#"{"fail_on":[],"site":7,"next":{}}"#),
        ("$iothub/methods/POST/snapshot/?$rid=3", &deep),
        ("devices/edge01/modules/shift/inputs/twins/%24.cmid=scorer", &deep),
        ("devices/edge01/modules/shift/inputs/twins/%24.cmid=scorer", "\u{0}"),
        ("devices/edge01/modules/shift/inputs/twins/%24.cmid=", "{}"),
        ("devices/edge01/modules/shift/inputs/%00", r#"{"a":{"b":null}}"#),
        (
            "$iothub/twin/PATCH/properties/desired/?$version=5",
            r#"{"$version":5,"manifest":{"x":1},"intervals":[],"target":7,"site":{"gpus":{}},"log":"loud","suppress":{"a":1}}"#,
        ),
        (
            "$iothub/twin/PATCH/properties/desired/?$version=6",
            r#"{"$version":6,"manifest":"{\"properties\":{\"desired\":{}}}"}"#,
        ),
    ] {
        peer.tell(topic, payload).await;
    }
    peer.tell("$iothub/methods/POST/ping/?$rid=alive", "").await;
    timeout(LONG, attend(&mut peer, "alive")).await.expect("the agent is alive");
    peer.garble().await;
    let mut peer = broker.subscribed().await;
    peer.tell("$iothub/methods/POST/ping/?$rid=again", "").await;
    timeout(LONG, attend(&mut peer, "again")).await.expect("the agent is alive");
    assert!(!agent.is_finished());
    let attending = tokio::spawn(async move { attend(&mut peer, "never").await });
    stop.send_replace(true);
    timeout(LONG, agent).await.expect("the agent ends").unwrap();
    attending.abort();
}

#[tokio::test]
async fn a_broker_that_hangs_up_is_not_called_without_a_pause() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let pace = Pace { pause: (Duration::from_millis(100), Duration::from_secs(10)), ..pace() };
    let _session = start(broker.port, &TestCredentials::new([&authority.pem]), pace);
    let since = Instant::now();
    for _ in 0..4 {
        drop(broker.accepted().await);
    }
    // At least half of 100, 200 and 400 ms.
    assert!(since.elapsed() >= Duration::from_millis(350), "{:?}", since.elapsed());
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_says_goodbye() {
    let (_broker, mut peer, session) = connected().await;
    let sending = Arc::clone(&session);
    let sending = tokio::spawn(async move { sending.send(telemetry("last")).await });
    let publish = peer.publish("devices/", false).await;
    let closing = Arc::clone(&session);
    let closing = tokio::spawn(async move { closing.close().await });
    assert!(timeout(Duration::from_millis(50), peer.next()).await.is_err());
    peer.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
    sending.await.unwrap().unwrap();
    assert_eq!(peer.next().await, Some(Packet::Disconnect));
    timeout(LONG, closing).await.unwrap().unwrap();
    assert!(next(&session).await.is_none() && !session.is_connected());
    let error = session.twin().await.unwrap_err().to_string();
    assert!(error.contains("the session is closed"), "{error}");
}

#[tokio::test]
async fn closing_is_prompt_where_nobody_answers() {
    let authority = Authority::new("edge");
    let mut broker = Broker::start(&authority, Speaks::Mqtt).await;
    let session = start(broker.port, &TestCredentials::new([&authority.pem]), pace());
    let _silent = broker.connection().await;
    timeout(Duration::from_secs(1), session.close()).await.unwrap();
    assert!(next(&session).await.is_none());
}
