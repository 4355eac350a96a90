//! The real agent tasks on the simulated device, in paused time: what reaches the hub, and what does not.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use edgeshift::agent::{Agent, Clock};
use edgeshift::evidence::{Container, Engine};
use edgeshift::hub::message::Message;
use edgeshift::hub::reported;
use edgeshift::link::{Event, Session, SessionError};
use edgeshift::manifest::Manifest;
use edgeshift::sim::{Device, Heard, Hub, Scenario};
use edgeshift::sources::{Look, Question, Sight, Source};
use edgeshift::text;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

struct Running {
    hub: Arc<Hub>,
    heard: mpsc::UnboundedReceiver<Heard>,
    stop: watch::Sender<bool>,
    agent: JoinHandle<()>,
}

fn start(desired: Value, sources: Vec<Arc<dyn Source>>) -> Running {
    let (hub, heard) = Hub::new(desired);
    start_on(Arc::clone(&hub), hub, heard, sources)
}

/// Starts the agent on a session that leads to `hub`.
fn start_on<S: Session>(
    session: Arc<S>,
    hub: Arc<Hub>,
    heard: mpsc::UnboundedReceiver<Heard>,
    sources: Vec<Arc<dyn Source>>,
) -> Running {
    let (stop, stopped) = watch::channel(false);
    let clock = Clock::set_to("2026-01-01T00:00:00Z".parse().unwrap());
    let agent = Agent { sources, session, clock, listener: None, log: Arc::new(|_| {}) };
    Running { hub, heard, stop, agent: tokio::spawn(agent.run(stopped)) }
}

/// A session that fails where it is told to.
struct Flaky {
    hub: Arc<Hub>,
    /// Nothing gets through while this is true.
    down: AtomicBool,
    /// The patches that it still panics on.
    panics: AtomicU32,
}

impl Flaky {
    fn around(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { hub: Arc::clone(hub), down: AtomicBool::new(false), panics: AtomicU32::new(0) })
    }

    fn is_up(&self) -> Result<(), SessionError> {
        let down = self.down.load(Ordering::Relaxed);
        if down { Err(SessionError::Unavailable("as planned".to_owned())) } else { Ok(()) }
    }
}

impl Session for Flaky {
    async fn twin(&self) -> Result<Value, SessionError> {
        self.is_up()?;
        self.hub.twin().await
    }

    async fn report(&self, patch: Value) -> Result<(), SessionError> {
        let panics = self.panics.load(Ordering::Relaxed);
        if panics > 0 {
            self.panics.store(panics - 1, Ordering::Relaxed);
            panic!("as planned");
        }
        self.is_up()?;
        self.hub.report(patch).await
    }

    async fn send(&self, message: Message) -> Result<(), SessionError> {
        self.is_up()?;
        self.hub.send(message).await
    }

    async fn next(&self) -> Option<Event> {
        self.hub.next().await
    }

    fn is_connected(&self) -> bool {
        self.is_up().is_ok()
    }

    async fn close(&self) {
        self.hub.close().await;
    }
}

impl Running {
    async fn after(&mut self, seconds: f64) -> Vec<Heard> {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    async fn end(mut self) -> (Value, Vec<Heard>) {
        self.stop.send_replace(true);
        self.agent.await.unwrap();
        let rest = std::iter::from_fn(|| self.heard.try_recv().ok()).collect();
        (self.hub.reported(), rest)
    }
}

fn intervals() -> Value {
    json!({ "intervals": { "collect": 0.25, "publish": 0.4, "summary": 2.0 }, "site": { "gpus": 1 } })
}

fn telemetry(heard: &[Heard], kind: &str) -> Vec<Value> {
    let bodies = heard.iter().filter_map(|heard| match heard {
        Heard::Telemetry(message) => Some(message.body.clone()),
        Heard::Reported(_) => None,
    });
    bodies.filter(|body| body["kind"] == kind).collect()
}

/// A source that never answers, or panics.
struct Ill {
    question: Question,
    panics: bool,
}

impl Source for Ill {
    fn name(&self) -> &'static str {
        "ill"
    }

    fn question(&self) -> Question {
        self.question
    }

    fn look(&self) -> Look<'_> {
        assert!(!self.panics, "as planned");
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_module_starts_without_a_false_alarm() {
    let mut running = start(intervals(), Device::start(Scenario::built_in()).sources());
    let heard = running.after(4.0).await;
    let transitions = telemetry(&heard, "transition");
    let of_writer: Vec<&Value> = transitions.iter().filter(|body| body["module"] == "result-writer").collect();
    assert_eq!(of_writer.len(), 1, "{transitions:?}");
    assert_eq!((&of_writer[0]["from"]["state"], &of_writer[0]["to"]["state"]), (&json!("starting"), &json!("running")));
    // Starting is no fault: the health is what the manifest alone makes it, before and after.
    assert_eq!(of_writer[0]["from"]["health"], of_writer[0]["to"]["health"]);
    let (twin, _) = running.end().await;
    assert_eq!(twin["modules"]["result-writer"]["state"], "running");
    assert_eq!(twin["modules"]["scorer"]["state"], "failed");
}

#[tokio::test(start_paused = true)]
async fn the_twin_changes_only_when_something_did() {
    let mut running = start(intervals(), Device::start(Scenario::built_in()).sources());
    running.after(10.0).await;
    let quiet = running.after(1.9).await;
    let patches = quiet.iter().filter(|heard| matches!(heard, Heard::Reported(_))).count();
    // The GPU figures of one summary, nothing else.
    assert!(patches <= 1, "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn methods_answer_what_the_command_line_prints() {
    let mut running = start(intervals(), Device::start(Scenario::built_in()).sources());
    running.after(3.0).await;
    let answer = running.hub.invoke("check", json!({ "fail_on": "warn" })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.payload["schema"], "edgeshift.check/1");
    assert_eq!(answer.payload["status"], "fail");
    assert!(!answer.payload["files"][0]["findings"].as_array().unwrap().is_empty());

    let answer = running.hub.invoke("explain", json!({ "rule": "STO-001" })).await;
    assert!(answer.payload[0]["page"].as_str().unwrap().contains("# Share bound"));
    let answer = running.hub.invoke("gpu", Value::Null).await;
    assert_eq!((&answer.payload["gpus"][0]["name"], &answer.payload["findings"]), (&json!("Tesla T4"), &json!([])));
    let answer = running.hub.invoke("gpu", json!({ "expect": 2 })).await;
    assert_eq!(answer.payload["findings"][0]["rule"], "gpu-driver");
    let answer = running.hub.invoke("status", Value::Null).await;
    assert_eq!(answer.payload["modules"]["scorer"]["health"], "blocked", "{answer:?}");
    let answer = running.hub.invoke("snapshot", Value::Null).await;
    let kept = edgeshift::evidence::Snapshot::from_json(&answer.payload.to_string()).unwrap();
    assert!(kept.manifest.known().is_some() && kept.modules.known().is_some());
    for (method, payload, status, text) in [
        ("reboot", Value::Null, 404, "there are check, explain, gpu, ping, refresh, render, rules, snapshot, status"),
        ("check", json!({ "fail_on": "never" }), 400, "payload of check at fail_on: unknown variant `never`"),
        ("check", json!({ "site": [1] }), 400, "payload of check at site[0]: invalid type"),
        ("check", json!(7), 400, "payload of check: invalid type"),
        ("check", json!({ "next": "x" }), 400, "payload at next"),
        ("rules", json!({ "x": 1 }), 400, "unknown field `x`"),
        ("check", json!({ "site": ["gpu=1"] }), 400, "site.gpu"),
        ("explain", json!({ "rule": "storage-share-bint" }), 404, "did you mean storage-share-bind"),
    ] {
        let answer = running.hub.invoke(method, payload).await;
        assert_eq!(answer.status, status, "{method}: {answer:?}");
        assert!(answer.payload["error"].as_str().unwrap().contains(text), "{answer:?}");
    }
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn bad_settings_leave_the_last_good_ones_in_force() {
    let mut running = start(intervals(), Device::start(Scenario::built_in()).sources());
    running.after(1.0).await;
    running.hub.desire(json!({ "target": "the moon", "intervals": { "collect": 0.25, "publish": 0 }, "$version": 2 }));
    running.after(1.0).await;
    assert_eq!(running.hub.reported()["edgeshift"]["target"], "ase-k8s");
    let refused = running.hub.reported()["settings"]["refused"].clone();
    assert!(refused["target"].as_str().unwrap().contains("`the moon` is not a target"), "{refused}");
    assert!(refused["intervals%2Epublish"].as_str().unwrap().contains("0 s is out of range"), "{refused}");
    running.hub.desire(json!({ "target": "ase-vm", "intervals": { "publish": 0.1 }, "$version": 3 }));
    running.after(1.0).await;
    assert_eq!(running.hub.reported()["edgeshift"]["target"], "ase-vm");
    assert_eq!(running.hub.reported()["settings"], json!({ "version": 3 }));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn sources_that_are_ill_spoil_their_own_part_only() {
    let mut sources = Device::start(Scenario::built_in()).sources();
    sources.retain(|source| source.question() == Question::Manifest);
    sources.push(Arc::new(Ill { question: Question::Modules, panics: false }));
    sources.push(Arc::new(Ill { question: Question::Gpus, panics: true }));
    let mut running = start(intervals(), sources);
    running.after(12.0).await;
    let answer = running.hub.invoke("check", Value::Null).await;
    let waiting = answer.payload["files"][0]["not_evaluated"].as_array().unwrap();
    let missing: Vec<&str> = waiting.iter().filter_map(|line| line["missing"].as_str()).collect();
    assert!(missing.contains(&"ill: no answer within 5 s"), "{missing:?}");
    assert!(answer.payload["summary"]["silent"].as_u64().unwrap() > 0);
    let (twin, _) = running.end().await;
    assert_eq!(twin["modules"]["scorer"]["state"], "undeployed");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_modules_with_hard_names_fit_in_the_twin() {
    let options =
        r#""settings": { "image": "a:1", "createOptions": { "HostConfig": { "Binds": ["/home/hcsshares/in:/in"] } } }"#;
    let modules: Vec<String> = (0..100).map(|i| format!("\"$m.{i} # {}\": {{ {options} }}", "ü".repeat(90))).collect();
    let text = format!(
        r#"{{ "modulesContent": {{ "$edgeAgent": {{ "properties.desired": {{ "modules": {{ {} }} }} }} }} }}"#,
        modules.join(",\n")
    );
    let manifest = Manifest::read(&text::Source::new("many", text)).unwrap();
    let mut running = start(intervals(), Device::start(Scenario::of(manifest)).sources());
    let heard = running.after(3.0).await;
    let patches = heard.iter().filter(|heard| matches!(heard, Heard::Reported(_))).count();
    assert!(patches > 2, "the section does not fit in one patch");
    let (twin, _) = running.end().await;
    let (shown, left_out) = (twin["modules"].as_object().unwrap().len(), twin["modules_left_out"].as_u64().unwrap());
    assert_eq!(shown as u64 + left_out, 100);
    assert!(reported::size(&twin) <= reported::MAX_SECTION);
}

#[tokio::test(start_paused = true)]
async fn the_end_is_prompt_and_publishes_a_last_time() {
    let mut running =
        start(json!({ "intervals": { "publish": 3600.0 } }), Device::start(Scenario::built_in()).sources());
    running.after(5.0).await;
    assert_eq!(running.hub.reported()["modules"]["result-writer"]["state"], "starting");
    running.after(20.0).await;
    let before = tokio::time::Instant::now();
    let (twin, _) = running.end().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(twin["modules"]["result-writer"]["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn telemetry_is_kept_while_the_link_is_down_and_arrives_in_order() {
    let (hub, heard) = Hub::new(intervals());
    let session = Flaky::around(&hub);
    let mut running = start_on(Arc::clone(&session), hub, heard, Device::start(Scenario::built_in()).sources());
    running.after(0.5).await;
    session.down.store(true, Ordering::Relaxed);
    // The slow module comes up meanwhile.
    assert_eq!(running.after(10.0).await.len(), 0);
    session.down.store(false, Ordering::Relaxed);
    let heard = running.after(90.0).await;
    let transitions = telemetry(&heard, "transition");
    assert_eq!(transitions.len(), 1, "{transitions:?}");
    let numbers: Vec<u64> = heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Telemetry(message) => message.id.rsplit('-').next()?.parse().ok(),
            Heard::Reported(_) => None,
        })
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let (twin, _) = running.end().await;
    assert_eq!(twin["modules"]["result-writer"]["state"], "running");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_dies_starts_again_and_says_so() {
    let (hub, heard) = Hub::new(intervals());
    let session = Flaky::around(&hub);
    session.panics.store(2, Ordering::Relaxed);
    let mut running = start_on(Arc::clone(&session), hub, heard, Device::start(Scenario::built_in()).sources());
    running.after(20.0).await;
    assert_eq!(running.hub.reported()["edgeshift"]["restarts"], json!({ "publish": 2 }));
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_others_left_in_the_twin_goes_and_comes_back_no_more() {
    let mut running = start(
        json!({ "intervals": { "collect": 10.0, "publish": 10.0 } }),
        Device::start(Scenario::built_in()).sources(),
    );
    running.hub.report(json!({ "left": { "over": "x" } })).await.unwrap();
    running.after(30.0).await;
    assert_eq!(running.hub.reported().get("left"), None);
    running.hub.report(json!({ "left": { "over": "y" } })).await.unwrap();
    running.after(1_000.0).await;
    assert_eq!(running.hub.reported().get("left"), None);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn refresh_looks_again_and_ping_says_when_it_was() {
    let mut running =
        start(json!({ "intervals": { "collect": 3600.0 } }), Device::start(Scenario::built_in()).sources());
    running.after(100.0).await;
    let before = running.hub.invoke("ping", json!({})).await.payload["taken_at"].as_str().unwrap().to_owned();
    assert_eq!(before, "2026-01-01T00:00:00Z");
    let refreshed = running.hub.invoke("refresh", json!({})).await;
    assert_eq!(refreshed.payload["taken_at"], "2026-01-01T00:01:40Z", "{refreshed:?}");
    assert_eq!(refreshed.payload["health"], "blocked");
    running.end().await;
}

/// A Docker engine on which the module `detector` runs.
struct Detector;

const CONTAINER: &str = "3fb1c2d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0";

impl Source for Detector {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn question(&self) -> Question {
        Question::Engine
    }

    fn look(&self) -> Look<'_> {
        let container = Container { id: CONTAINER.to_owned(), ..Container::default() };
        let containers = [("detector".to_owned(), container)].into();
        let engine = Engine { containers, ..Engine::default() };
        Box::pin(async { Ok(Some(Sight::Engine(Box::new(engine)))) })
    }
}

/// What the GPU of the test below does: from which second on it is how busy, percent, and draws how many W.
const LOAD: [(f64, f64, f64); 4] = [(0.0, 0.0, 10.0), (50.0, 90.0, 60.0), (110.0, 30.0, 25.0), (200.0, 0.0, 10.0)];

/// What [`LOAD`] comes to between two seconds, of what `rate` takes out of it.
fn load(from: f64, to: f64, rate: fn((f64, f64, f64)) -> f64) -> f64 {
    let ends = LOAD.iter().skip(1).map(|(at, ..)| *at).chain([f64::INFINITY]);
    LOAD.iter().zip(ends).map(|(step, end)| rate(*step) * (end.min(to) - step.0.max(from)).max(0.0)).sum()
}

#[tokio::test(start_paused = true)]
async fn windows_of_the_gpus_meet_and_lose_nothing() {
    let steps = LOAD.map(|(at, percent, watts)| {
        // Somebody computes while it is busy.
        let process = format!("{{ pid = 41, memory_mib = 1800, utilization = 80, container = \"{CONTAINER}\" }}");
        let processes = if percent > 0.0 { process } else { String::new() };
        format!(
            "[[step]]\nat_ms = {}\nset = {{ utilization = {percent}, power_mw = {}, memory_used_mib = {}, processes = [{processes}] }}\n",
            at * 1000.0,
            watts * 1000.0,
            if percent > 0.0 { 1900 } else { 0 }
        )
    });
    let scenario = Scenario::built_in().with_gpus(&format!("[[gpu]]\n{}", steps.concat())).unwrap();
    let mut sources = Device::start(scenario).sources();
    sources.push(Arc::new(Detector));
    let intervals = json!({ "intervals": { "collect": 7.0, "publish": 1.0, "summary": 45.0 } });
    let mut running = start(intervals, sources);
    let windows = telemetry(&running.after(300.0).await, "window");
    running.end().await;
    assert!(windows.len() >= 6, "{windows:?}");
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let second = |time: &Value| {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        time.duration_since(start).as_secs_f64()
    };
    let (mut busy, mut energy, mut computed) = (0.0, 0.0, 0.0);
    for (number, window) in windows.iter().enumerate() {
        let (from, to) = (second(&window["from"]), second(&window["to"]));
        // No gap and no overlap.
        assert_eq!(
            window["from"],
            number.checked_sub(1).map_or(json!("2026-01-01T00:00:00Z"), |n| windows[n]["to"].clone())
        );
        let gpu = &window["gpus"][0];
        let number = |name: &str| gpu[name].as_f64().unwrap_or_else(|| panic!("{name} of {window}"));
        let length = window["window_s"].as_f64().unwrap();
        // The bounds are whole seconds.
        assert!((length - (to - from)).abs() <= 1.0, "{window}");
        // The first is of the looks at the start.
        if window == &windows[0] {
            assert!(length < 1.0, "{window}");
            continue;
        }
        let expected = load(from, to, |(_, percent, _)| percent / 100.0);
        assert!((number("busy_s") - expected).abs() <= 1.0, "{expected}: {window}");
        assert!((number("utilization_mean") - expected / length).abs() <= 0.05, "{expected}: {window}");
        let joules = load(from, to, |(.., watts)| watts);
        assert!((number("energy_j") - joules).abs() <= 60.0, "{joules}: {window}");
        assert!((number("power_w") - number("energy_j") / length).abs() <= 0.1, "{window}");
        // Some look sees whatever lasts longer than the time between two.
        let ends = LOAD.iter().skip(1).map(|(at, ..)| *at).chain([f64::INFINITY]);
        let seen = LOAD.iter().zip(ends).filter(|((at, ..), end)| end.min(to) - at.max(from) > 8.0);
        let most = seen.map(|((_, percent, _), _)| percent / 100.0).fold(0.0, f64::max);
        assert!(number("utilization_max") >= most, "{most}: {window}");
        let of_module = match number("processes") {
            0.0 => json!({}),
            _ => json!({ "detector": { "processes": 1, "memory_mib": 1800, "utilization": 0.8 } }),
        };
        assert_eq!(gpu["modules"], of_module, "{window}");
        computed += number("processes");
        (busy, energy) = (busy + number("busy_s"), energy + number("energy_j"));
    }
    assert!(computed >= 2.0, "{windows:?}");
    // All windows together are all that there was.
    let (from, to) = (second(&windows[1]["from"]), second(&windows[windows.len() - 1]["to"]));
    assert!((busy - load(from, to, |(_, percent, _)| percent / 100.0)).abs() <= 1.0, "{busy}");
    assert!((energy - load(from, to, |(.., watts)| watts)).abs() <= 60.0, "{energy}");
}

/// Takes long to look, so that `refresh` does.
struct Slow;

impl Source for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn question(&self) -> Question {
        Question::Gpus
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok(None)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_fifth_method_is_sent_away_and_the_others_are_answered() {
    let mut running = start(json!({ "intervals": { "collect": 60.0 } }), vec![Arc::new(Slow)]);
    running.after(10.0).await;
    let refreshes = (0..4).map(|_| {
        let hub = Arc::clone(&running.hub);
        tokio::spawn(async move { hub.invoke("refresh", json!({})).await.status })
    });
    let refreshes: Vec<_> = refreshes.collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fifth = running.hub.invoke("ping", json!({})).await;
    assert_eq!(fifth.status, 429, "{fifth:?}");
    for refresh in refreshes {
        assert_eq!(refresh.await.unwrap(), 200);
    }
    assert_eq!(running.hub.invoke("ping", json!({})).await.status, 200);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_in_pieces_is_judged() {
    let pieces: serde_json::Map<String, Value> = include_str!("../examples/fpga-deployment.json")
        .as_bytes()
        .chunks(1_000)
        .enumerate()
        .map(|(n, piece)| (n.to_string(), String::from_utf8_lossy(piece).into()))
        .collect();
    assert!(pieces.len() > 2);
    let mut running = start(intervals(), Vec::new());
    running.after(1.0).await;
    assert_eq!(running.hub.reported()["modules"], json!({}));
    let mut desired = intervals();
    desired["manifest"] = pieces.into();
    running.hub.desire(desired);
    running.after(2.0).await;
    assert_eq!(running.hub.reported()["modules"]["scorer"]["health"], "blocked");
    running.end().await;
}
