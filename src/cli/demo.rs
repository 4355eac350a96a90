//! `demo`: a deployment judged, and then the real module on a simulated device, as IoT Hub would see it.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::input;
use crate::agent::{Agent, Clock};
use crate::hub::method::Response;
use crate::output::{self, CheckResult};
use crate::settings::Settings;
use crate::sim::{Device, Heard, Hub, Scenario};
use crate::verbs::check::CheckArgs;

/// How long the module runs when nobody asks for more.
const RUN: Duration = Duration::from_millis(3_500);
/// When the method is invoked.
const INVOKE: Duration = Duration::from_millis(2_500);

/// What `demo` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct DemoCommand {
    /// A deployment to run in place of the built-in one
    #[arg(long, value_name = "FILE")]
    deployment: Option<PathBuf>,

    /// Go on until Ctrl-C
    #[arg(long)]
    keep_running: bool,
}

pub(super) fn run(command: &DemoCommand) -> anyhow::Result<super::Exit> {
    let scenario = match &command.deployment {
        None => Scenario::built_in(),
        Some(path) => Scenario::of(input::one(path).map_err(anyhow::Error::msg)?),
    };
    judge(&scenario)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the demo's tasks")?;
    runtime.block_on(play(scenario, command.keep_running))?;
    Ok(super::Exit::Pass)
}

/// The deployment as `check` sees it.
fn judge(scenario: &Scenario) -> anyhow::Result<()> {
    let style = super::style(&std::io::stdout());
    let name = scenario.manifest().document().source().name().to_owned();
    super::say(&format!("$ edgeshift check {name} --site gpus=1\n\n"))?;
    let args = CheckArgs { site: vec!["gpus=1".to_owned()], ..CheckArgs::default() };
    let settings = args.settings(&Settings::default())?;
    let judged = super::judge(name, scenario.manifest().clone(), &settings, &args);
    let result = CheckResult { judged: vec![judged], rejected: Vec::new() };
    super::say(&output::text::check(&result, style))?;
    Ok(())
}

/// Runs the agent on the device and tells what reaches the hub.
async fn play(scenario: Scenario, keep_running: bool) -> anyhow::Result<()> {
    super::say(&format!(
        "\nThe same rules in the module, on a simulated {} device with one Tesla T4.\n\
         Every line is something that IoT Hub receives (←) or asks (→).\n\n",
        crate::target::Platform::AseK8s.title(),
    ))?;
    let settings = json!({ "intervals": { "collect": 0.25, "publish": 0.4, "summary": 2.0 }, "site": { "gpus": 1 } });
    let device = Device::start(scenario);
    let (hub, heard) = Hub::new(settings.clone());
    let line = |what: &str, text: &[String]| tell(&device, what, text);
    line("→ desired", &lines(&settings))?;
    let (stop, stopped) = watch::channel(false);
    let agent = Agent { sources: device.sources(), session: hub.clone(), clock: Clock::system() };
    let agent = tokio::spawn(agent.run(stopped));
    let teller = tokio::spawn(listen(device.clone(), heard));

    tokio::time::sleep(INVOKE).await;
    line("→ method", &["check {}".to_owned()])?;
    line("← answer", &answer(&hub.invoke("check", json!({})).await))?;
    if keep_running {
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    } else {
        tokio::time::sleep(RUN.saturating_sub(INVOKE)).await;
    }
    stop.send_replace(true);
    agent.await.context("the agent's task died")??;
    let twin = hub.reported();
    drop(hub);
    teller.await.context("the task that tells died")??;
    super::say(&format!(
        "\nThe module twin reports {} bytes of the 32 KB that IoT Hub allows.\n\n\
         Next: `edgeshift check FILE` with your own deployment, `edgeshift explain RULE` for what a finding means,\n\
         `edgeshift demo --deployment FILE` to see it run here.\n",
        crate::hub::reported::size(&twin),
    ))?;
    Ok(())
}

async fn listen(device: Device, mut heard: mpsc::UnboundedReceiver<Heard>) -> std::io::Result<()> {
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Reported(patch) => tell(&device, "← twin", &lines(&patch))?,
            Heard::Telemetry(message) => {
                let mut body = message.body;
                if let Some(members) = body.as_object_mut() {
                    // Every message carries these.
                    members.retain(|key, _| key != "schema" && key != "at");
                }
                tell(&device, &format!("← {}", message.output), &lines(&body))?;
            }
        }
    }
    Ok(())
}

/// One line of the timeline, and what belongs to it below.
fn tell(device: &Device, what: &str, lines: &[String]) -> std::io::Result<()> {
    let mut text = String::new();
    let mut head = format!("{:5.2} s  {what:10}", device.elapsed().as_secs_f64());
    for line in lines {
        let _ = writeln!(text, "{head:20}{line}");
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
