//! Telemetry: what goes to the outputs `health` and `gpu`. The deployment must route
//! `/messages/modules/<us>/outputs/*` to `$upstream`, else edgeHub drops it (`iothub-limits.md` §2).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::evidence::{Gpu, Snapshot};
use crate::finding::Severity;
use crate::report::{Health, Report, Subject};

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
}

/// How a module stands, and what decides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What runs: `running`, `starting`, `failed` …; `undeployed` where nothing is reported.
    pub state: String,
    /// Its migration health.
    pub health: Health,
    /// The rule that decides the health.
    pub rule: Option<&'static str>,
}

/// A module that stands differently than before.
pub fn transition(number: u64, now: Timestamp, module: &str, before: &Standing, after: &Standing) -> Message {
    let body = json!({
        "schema": "edgeshift.health/1",
        "kind": "transition",
        "module": module,
        "from": { "state": before.state, "health": before.health.word() },
        "to": { "state": after.state, "health": after.health.word() },
        "rule": after.rule,
        "at": second(now),
    });
    Message::new("health", number, now, body)
}

/// How everything stands.
pub fn summary(number: u64, now: Timestamp, report: &Report, modules: &[(String, Standing)]) -> Message {
    let modules: Vec<Value> = modules
        .iter()
        .map(|(id, standing)| {
            json!({ "module": id, "state": standing.state, "health": standing.health.word(), "rule": standing.rule })
        })
        .collect();
    let summary = report.summary();
    let body = json!({
        "schema": "edgeshift.health/1",
        "kind": "summary",
        "target": report.target.to_string(),
        "health": report.overall_health().word(),
        "findings": {
            Severity::Block.word(): summary.block,
            Severity::Silent.word(): summary.silent,
            Severity::Warn.word(): summary.warn,
            Severity::Info.word(): summary.info,
        },
        "not_evaluated": report.ledger().not_evaluated,
        "modules": modules,
        "at": second(now),
    });
    Message::new("health", number, now, body)
}

/// One window of every GPU.
pub fn gpu(number: u64, now: Timestamp, window_s: f64, gpus: &[Gpu]) -> Message {
    let body = json!({
        "schema": "edgeshift.gpu/1",
        "kind": "window",
        "window_s": rounded(window_s),
        "gpus": gpus.iter().map(|gpu| json!({
            "uuid": gpu.uuid,
            "name": gpu.name,
            "utilization_mean": rounded(gpu.utilization_mean),
            "utilization_max": rounded(gpu.utilization_max),
            "memory_used_mib": gpu.memory_used_mib,
            "memory_total_mib": gpu.memory_total_mib,
            "temperature_c": gpu.temperature_c,
            "power_w": rounded(gpu.power_w),
        })).collect::<Vec<_>>(),
        "at": second(now),
    });
    Message::new("gpu", number, now, body)
}

/// How `module` stands in `report` and `snapshot`.
pub fn standing(module: &str, report: &Report, snapshot: &Snapshot) -> Standing {
    let (health, rule) = report.health(&Subject::Module(module.to_owned()));
    let state = snapshot.modules.known().and_then(|modules| modules.get(module));
    let state = state.map_or("undeployed", |state| if state.is_starting() { "starting" } else { state.status.word() });
    Standing { state: state.to_owned(), health, rule }
}

/// Whole seconds with `Z`: edgeHub re-formats fractions (`iothub-limits.md` §1.4).
pub(super) fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Two decimals are more than a sensor knows.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
