//! `demo`: a deployment judged, and then the real module on a simulated device, as IoT Hub would see it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::input;
use crate::agent::{Agent, Clock};
use crate::evidence::Snapshot;
use crate::hub::method::Response;
use crate::hub::topic::Properties;
use crate::iotedge::Identity;
use crate::link::{Endpoint, Mqtt, Pace};
use crate::output::{self, CheckResult, Judged};
use crate::settings::Settings;
use crate::sim::{Arrival, Behaviour, Device, EmbeddedConfig, EmbeddedDevice, Route, Scenario};
use crate::verbs::check::CheckArgs;

/// How long the module runs when nobody asks for more.
const RUN: Duration = Duration::from_millis(3_500);
/// When a sibling reports, and when methods are invoked.
const SIBLING: Duration = Duration::from_secs(2);
const INVOKE: Duration = Duration::from_millis(2_500);

/// The module on the device that is ours, and one for other clients.
const MODULE: &str = "edgeshift";
const CLIENT: &str = "client";

/// What brings the module the twins of its siblings.
const TWINS: &str = "FROM /twinChangeNotifications INTO BrokeredEndpoint(\"/modules/edgeshift/inputs/twins\")";

/// What `demo` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct DemoCommand {
    /// A deployment to run in place of the built-in one
    #[arg(long, value_name = "FILE")]
    deployment: Option<PathBuf>,

    /// The GPUs of the device, as the files of `fixtures/gpu` describe them
    #[arg(long, value_name = "FILE")]
    gpus: Option<PathBuf>,

    /// Go on until Ctrl-C
    #[arg(long)]
    keep_running: bool,

    /// Keep the device open for other clients until Ctrl-C, and print how to connect
    #[arg(long)]
    serve: bool,

    /// Where edgeHub speaks MQTT with --serve; 0 is any port that is free, but most SDKs insist on this one
    #[arg(long, value_name = "PORT", default_value_t = 8883)]
    mqtt_port: u16,

    /// Where HTTPS and WebSocket are with --serve; 0 is any port that is free
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    https_port: u16,
}

pub(super) fn run(command: &DemoCommand) -> anyhow::Result<super::Exit> {
    let scenario = match &command.deployment {
        None => Scenario::built_in(),
        Some(path) => Scenario::of(input::one(path).map_err(anyhow::Error::msg)?),
    };
    let scenario = match &command.gpus {
        None => scenario,
        Some(path) => {
            let name = path.display().to_string();
            let text = input::open(path, &name).map_err(anyhow::Error::msg)?;
            scenario.with_gpus(&text).map_err(|why| anyhow::anyhow!("{name} is no scenario: {why}"))?
        }
    };
    judge(&scenario)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the demo's tasks")?;
    runtime.block_on(play(scenario, command))?;
    Ok(super::Exit::Pass)
}

/// The deployment as `check` sees it.
fn judge(scenario: &Scenario) -> anyhow::Result<()> {
    let style = super::style(&std::io::stdout());
    let name = scenario.manifest().document().source().name().to_owned();
    super::say(&format!("$ edgeshift check {name} --site gpus=1\n\n"))?;
    let args = CheckArgs { site: vec!["gpus=1".to_owned()], ..CheckArgs::default() };
    let settings = args.settings(&Settings::default())?;
    let judged = Judged::of(name, Snapshot::of_manifest(scenario.manifest().clone(), super::now()), &settings, &args);
    let result = CheckResult { judged: vec![judged], ..CheckResult::default() };
    super::say(&output::text::check(&result, style))?;
    Ok(())
}

/// Runs the module on the device, over sockets, and tells what reaches the hub.
async fn play(scenario: Scenario, command: &DemoCommand) -> anyhow::Result<()> {
    super::say(&format!(
        "\nThe same rules in the module, on a simulated {} device with one Tesla T4.\n\
         Every line is something that IoT Hub receives (←) or asks (→).\n\n",
        crate::target::Platform::AseK8s.title(),
    ))?;
    let settings = json!({ "intervals": { "collect": 0.25, "publish": 0.4, "summary": 2.0 }, "site": { "gpus": 1 } });
    let sibling = sibling(&scenario);
    let siblings = Device::start(scenario);
    let folder = Folder::make()?;
    let mut modules: BTreeMap<String, Value> =
        [(MODULE.to_owned(), settings.clone()), (CLIENT.to_owned(), json!({}))].into();
    modules.extend(sibling.iter().map(|sibling| (sibling.clone(), json!({}))));
    let ports = if command.serve { (command.mqtt_port, command.https_port) } else { (0, 0) };
    // As edgeHub does it, but for people who don't want to wait.
    let (sync, method_delay) = (Duration::from_millis(200), Duration::from_millis(200));
    let behaviour = Behaviour { sync, method_delay, ..Behaviour::default() };
    let config = EmbeddedConfig {
        mqtt_port: ports.0,
        https_port: ports.1,
        behaviour,
        routes: vec![Route::everything_upstream(), TWINS.parse()?],
        ..EmbeddedConfig::new(&folder.0, modules)
    };
    let (device, arrivals) = EmbeddedDevice::start(config).await?;
    if command.serve {
        super::say(&how_to_connect(&device))?;
    }
    let line = |what: &str, text: &[String]| tell(&siblings, what, text);
    line("→ desired", &lines(&settings))?;
    let environment = device.environment(MODULE).unwrap_or_default();
    let identity = Identity::from_variables(|name| environment.get(name).cloned())?;
    let endpoint =
        Endpoint { host: identity.gateway.clone(), mqtt: device.mqtt_port(), web_socket: device.https_port() };
    let session = Mqtt::start(identity.clone(), endpoint, identity.credentials(), Pace::default());
    let (stop, stopped) = watch::channel(false);
    let agent = Agent {
        sources: siblings.sources(),
        session: Arc::new(session),
        clock: Clock::system(),
        listener: None,
        log: Arc::new(|_| {}),
    };
    let agent = tokio::spawn(agent.run(stopped));
    let teller = tokio::spawn(listen(siblings.clone(), arrivals));

    tokio::time::sleep(SIBLING).await;
    if let Some(sibling) = &sibling {
        let patch = json!({ "frames": { "seen": 48, "written": 47 } });
        line("→ sibling", &[format!("{sibling} reports {patch}")])?;
        device.edge_hub().report_for(sibling, &patch).map_err(anyhow::Error::msg)?;
    }
    tokio::time::sleep(INVOKE.saturating_sub(SIBLING)).await;
    line("→ method", &["check {}".to_owned()])?;
    line("← answer", &answer(&device.invoke(MODULE, "check", json!({})).await))?;
    if let Some(sibling) = &sibling {
        line("→ method", &["status {}".to_owned()])?;
        line("← answer", &status(&device.invoke(MODULE, "status", json!({})).await, sibling))?;
    }
    if command.keep_running || command.serve {
        stopping().await?;
    } else {
        tokio::time::sleep(RUN.saturating_sub(INVOKE)).await;
    }
    stop.send_replace(true);
    agent.await.context("the agent's task died")?;
    let twin = device.iot_hub().twin(MODULE).unwrap_or_default();
    drop(device);
    teller.abort();
    super::say(&format!(
        "\nThe module twin reports {} bytes of the 32 KB that IoT Hub allows.\n\n\
         Next: `edgeshift check FILE` with your own deployment, `edgeshift explain RULE` for what a finding means,\n\
         `edgeshift demo --deployment FILE` to see it run here.\n",
        crate::hub::reported::size(&twin["reported"]),
    ))?;
    Ok(())
}

/// A module of the deployment that reports, if there is one with a plain name.
fn sibling(scenario: &Scenario) -> Option<String> {
    let is_plain = |id: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') && id.len() < 32;
    let mut modules = scenario.manifest().modules().filter(|module| !module.is_system() && !module.is_stopped());
    let found = modules.find(|module| is_plain(module.id()) && ![MODULE, CLIENT].contains(&module.id()));
    found.map(|module| module.id().to_owned())
}

/// Ready when a person or a service manager has seen enough.
async fn stopping() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended.context("cannot wait for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// What another client needs to connect to the device.
fn how_to_connect(device: &EmbeddedDevice) -> String {
    let mut text = format!("As the module `{CLIENT}`, with any IoT Edge SDK:\n\n");
    for (name, value) in device.environment(CLIENT).unwrap_or_default() {
        let _ = writeln!(text, "  export {name}={value}");
    }
    let _ = write!(
        text,
        "\nor, for development, with a connection string:\n\n  export EdgeHubConnectionString=\"{}\"\n  \
         export EdgeModuleCACertificateFile={}\n\nAs a service, with any IoT Hub SDK (device `edge`, modules `{MODULE}` and \
         `{CLIENT}`):\n\n  export IOTHUB_CONNECTION_STRING=\"{}\"\n  export REQUESTS_CA_BUNDLE={}\n\n\
         MQTT listens on port {}, HTTPS and WebSocket on port {}. Ctrl-C ends it.\n\n",
        device.connection_string(CLIENT).unwrap_or_default(),
        device.ca_file().display(),
        device.service_connection_string(),
        device.ca_file().display(),
        device.mqtt_port(),
        device.https_port(),
    );
    text
}

/// A folder for the sockets of the device, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("edgeshift-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn listen(device: Device, mut arrivals: mpsc::UnboundedReceiver<Arrival>) -> std::io::Result<()> {
    while let Some(arrival) = arrivals.recv().await {
        match arrival {
            Arrival::Reported { module, patch } => tell(&device, &format!("← {}twin", whose(&module)), &lines(&patch))?,
            Arrival::Telemetry { module, properties, body } => {
                let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
                if let Some(members) = body.as_object_mut() {
                    // Every message carries these.
                    members.retain(|key, _| key != "schema" && key != "at");
                }
                let output = properties.get(Properties::OUTPUT).unwrap_or("no output");
                tell(&device, &format!("← {}{output}", whose(&module)), &lines(&body))?;
            }
        }
    }
    Ok(())
}

/// Names a module that is not ours.
fn whose(module: &str) -> String {
    if module == MODULE { String::new() } else { format!("{module} ") }
}

/// One line of the timeline, and what belongs to it below.
fn tell(device: &Device, what: &str, lines: &[String]) -> std::io::Result<()> {
    let mut text = String::new();
    let mut head = format!("{:5.2} s  {what:10}", device.elapsed().as_secs_f64());
    for line in lines {
        let _ = writeln!(text, "{head:19} {line}");
        head.clear();
    }
    super::say(&text)
}

/// JSON as a person reads it: a line for each object, its values one after the other.
fn lines(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    lines_below("", value, &mut lines);
    lines
}

fn lines_below(name: &str, value: &Value, lines: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().map(|item| (String::new(), item)).collect(),
        value => vec![(String::new(), value)],
    };
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    let plain = inner.iter().filter(|(_, value)| is_plain(value)).map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key} {value}").trim().to_owned()
    });
    let plain = plain.collect::<Vec<_>>().join(" · ");
    if !plain.is_empty() {
        lines.push(format!("{name}  {plain}").trim().to_owned());
    }
    for (key, value) in inner.iter().filter(|(_, value)| !is_plain(value)) {
        lines_below(format!("{name} {key}").trim(), value, lines);
    }
}

/// What the answer of `status` says of one module.
fn status(response: &Response, module: &str) -> Vec<String> {
    let mut lines = vec![format!("status {}, {} bytes", response.status, response.payload.to_string().len())];
    let entry = &response.payload["modules"][module];
    let said: serde_json::Map<_, _> = ["status", "health", "health_since", "declared_ports", "twin"]
        .into_iter()
        .filter(|key| !entry[key].is_null())
        .map(|key| (key.to_owned(), entry[key].clone()))
        .collect();
    lines_below(module, &said.into(), &mut lines);
    lines
}

/// What the answer of `check` says in short: it is the same JSON as `check --format json`.
fn answer(response: &Response) -> Vec<String> {
    let mut lines = vec![format!("status {}, {} bytes", response.status, response.payload.to_string().len())];
    lines_below("summary", &response.payload["summary"], &mut lines);
    for finding in response.payload["files"][0]["findings"].as_array().into_iter().flatten() {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        lines.push(format!("{}[{}] {}", text("severity"), text("rule"), text("message")));
    }
    lines
}
