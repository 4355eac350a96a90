//! Telemetry: what goes to the outputs `health` and `gpu`. The deployment must route
//! `/messages/modules/<us>/outputs/*` to `$upstream`, else edgeHub drops it (`iothub-limits.md` §2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::topic::Properties;
use crate::evidence::{ClockEvent, GpuUse, GpuWindow, ModuleGpus, Snapshot};
use crate::finding::Severity;
use crate::report::{Report, Settled, Standings};

/// The largest message with its properties, in bytes (`iothub-limits.md` §2).
pub const MAX_MESSAGE: usize = 256 * 1024;

/// One telemetry message. Body routing in IoT Hub needs content type and encoding, so both are always given.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The output of the module.
    pub output: &'static str,
    /// Unique for this run of the module; ASCII, at most 128 characters.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// The body.
    pub body: Value,
}

impl Message {
    /// `iothub-content-type`
    pub const CONTENT_TYPE: &'static str = "application/json";
    /// `iothub-content-encoding`
    pub const CONTENT_ENCODING: &'static str = "utf-8";

    fn new(output: &'static str, number: u64, created: Timestamp, body: Value) -> Self {
        let id = format!("{output}-{}-{number}", created.as_millisecond());
        Self { output, id, created, body }
    }

    /// What goes with the body: output, id, content type and encoding, creation time, and the schema that the body names.
    pub fn properties(&self) -> Properties {
        let created = second(self.created);
        let schema = self.body["schema"].as_str();
        let properties = [
            (Properties::OUTPUT, Some(self.output)),
            (Properties::MESSAGE_ID, Some(self.id.as_str())),
            (Properties::CONTENT_TYPE, Some(Self::CONTENT_TYPE)),
            (Properties::CONTENT_ENCODING, Some(Self::CONTENT_ENCODING)),
            (Properties::CREATED, Some(created.as_str())),
            (Properties::SCHEMA, schema),
        ];
        properties.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A message that a route led to one of our inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The input.
    pub name: String,
    /// The module that sent it, as edgeHub says.
    pub sender_module: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A module as it runs and as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its id.
    pub id: String,
    /// What it does: `running`, `starting`, `failed` …; `undeployed` where nobody knows of it.
    pub state: &'static str,
    /// Its migration health, why, since when, and how it stood before.
    pub settled: Settled,
}

impl Module {
    /// Whether it runs and stands as `other` does, whatever the words of the finding.
    pub fn stands_as(&self, other: &Self) -> bool {
        self.state == other.state && self.settled.standing == other.settled.standing
    }

    fn health(&self) -> &'static str {
        self.settled.standing.health.word()
    }

    fn rule(&self) -> Option<&'static str> {
        self.settled.standing.rule
    }
}

/// A module that runs or stands differently than before.
pub fn transition(number: u64, now: Timestamp, before: &Module, after: &Module) -> Message {
    let body = json!({
        "schema": "edgeshift.health/1",
        "kind": "transition",
        "module": after.id,
        "from": { "state": before.state, "health": before.health() },
        "to": { "state": after.state, "health": after.health() },
        "rule": after.rule(),
        "finding": after.settled.finding,
        "at": second(now),
    });
    Message::new("health", number, now, body)
}

/// How everything stands.
pub fn summary(number: u64, now: Timestamp, report: &Report, standings: &Standings, modules: &[Module]) -> Message {
    let module = |module: &Module| {
        let (state, health, rule, since) = (module.state, module.health(), module.rule(), second(module.settled.since));
        json!({ "module": module.id, "state": state, "health": health, "rule": rule, "since": since })
    };
    let modules: Vec<Value> = modules.iter().map(module).collect();
    let summary = standings.summary;
    let body = json!({
        "schema": "edgeshift.health/1",
        "kind": "summary",
        "target": report.target.to_string(),
        "health": standings.overall.standing.health.word(),
        "findings": {
            Severity::Block.word(): summary.block,
            Severity::Silent.word(): summary.silent,
            Severity::Warn.word(): summary.warn,
            Severity::Info.word(): summary.info,
        },
        "not_evaluated": standings.not_evaluated,
        "modules": modules,
        "at": second(now),
    });
    Message::new("health", number, now, body)
}

/// One window of every GPU: what it did since the last one, and how it was at the end, with what each of `modules` used of it then.
pub fn gpu(number: u64, now: Timestamp, gpus: &[GpuWindow], modules: &BTreeMap<String, ModuleGpus>) -> Message {
    let mut body = json!({
        "schema": "edgeshift.gpu/1",
        "kind": "window",
        "gpus": gpus.iter().map(|window| of_gpu(window, modules)).collect::<Vec<_>>(),
        "at": second(now),
    });
    let bounds = gpus.iter().map(|window| window.since).min().zip(gpus.iter().map(|window| window.until).max());
    if let Some((since, until)) = bounds {
        body["from"] = second(since).into();
        body["to"] = second(until).into();
        body["window_s"] = rounded(until.duration_since(since).as_secs_f64()).into();
    }
    Message::new("gpu", number, now, body)
}

/// What is known of a GPU; what it does not support is left out.
fn of_gpu(window: &GpuWindow, modules: &BTreeMap<String, ModuleGpus>) -> Value {
    let gpu = &window.last;
    let share = |share: Option<f64>| share.map(rounded);
    let mut value = json!({
        "uuid": gpu.uuid,
        "name": gpu.name,
        "state": gpu.state,
        "looks": window.looks,
        "utilization_mean": share(window.utilization_mean),
        "utilization_max": share(window.utilization_max),
        "busy_s": share(window.busy_seconds),
        "memory_utilization_mean": share(window.memory_utilization_mean),
        "memory_used_mib": gpu.memory_used_mib,
        "memory_used_max_mib": window.memory_used_max_mib,
        "memory_total_mib": gpu.memory_total_mib,
        "temperature_c": gpu.temperature_c,
        "temperature_max_c": window.temperature_max_c,
        "energy_j": share(window.energy_j),
        "power_w": share(window.power_mean_w),
        "power_max_w": share(window.power_max_w),
        "processes": gpu.processes.as_ref().map(Vec::len),
        "modules": of_modules(&gpu.uuid, modules),
    });
    if !gpu.clock_event_minutes.is_empty() {
        let minutes = gpu.clock_event_minutes.iter().map(|(event, minutes)| (reason(*event), Value::from(*minutes)));
        value["clocks_down_min"] = minutes.collect();
    }
    if !gpu.xids.is_empty() {
        let counts = gpu.xids.iter().map(|(xid, seen)| (xid.to_string(), Value::from(seen.count)));
        value["xids"] = counts.collect();
    }
    without_null(&mut value);
    value
}

/// What each module uses of a GPU, its parts together; none where that is not known of any module.
fn of_modules(uuid: &str, modules: &BTreeMap<String, ModuleGpus>) -> Option<Value> {
    let known = modules.iter().filter_map(|(id, gpus)| Some((id, gpus.used.known()?)));
    let of_module = |(id, used): (&String, &Vec<GpuUse>)| {
        let of_gpu: Vec<&GpuUse> = used.iter().filter(|used| used.gpu == uuid).collect();
        let memory: Option<u64> = of_gpu.iter().map(|used| used.memory_mib).sum();
        let busy = of_gpu.iter().filter_map(|used| used.utilization).reduce(|one, other| one + other);
        let mut value = json!({ "processes": of_gpu.iter().map(|used| used.processes).sum::<u32>() });
        value["memory_mib"] = memory.into();
        value["utilization"] = busy.map(|busy| rounded(busy.min(1.0))).into();
        without_null(&mut value);
        (!of_gpu.is_empty()).then(|| (id.clone(), value))
    };
    let known: Vec<_> = known.collect();
    (!known.is_empty()).then(|| known.into_iter().filter_map(of_module).collect())
}

fn without_null(value: &mut Value) {
    if let Some(entries) = value.as_object_mut() {
        entries.retain(|_, value| !value.is_null());
    }
}

/// Why clocks were held down, as in the metrics.
fn reason(event: ClockEvent) -> String {
    match event {
        ClockEvent::HardwareSlowdown => "hw_slowdown",
        ClockEvent::SoftwareThermal => "sw_thermal",
        ClockEvent::HardwareThermal => "hw_thermal",
        ClockEvent::PowerBrake => "hw_power_brake",
    }
    .to_owned()
}

/// The modules that are written or seen, sorted by id. Bare createOptions name none.
pub fn modules(standings: &Standings, snapshot: &Snapshot) -> Vec<Module> {
    let module = |id: &str| Module {
        id: id.to_owned(),
        state: snapshot.state(id).unwrap_or("undeployed"),
        settled: standings.of_module(id),
    };
    snapshot.module_ids().into_iter().map(module).collect()
}

/// Whole seconds with `Z`: edgeHub re-formats fractions (`iothub-limits.md` §1.4).
pub(super) fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Two decimals are more than a sensor knows.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
