//! What twins say: those of IoT Edge's own modules as IoT Hub shows them (`iothub-limits.md` §4, `ase-runtime.md` §2.7), and
//! the reported properties of siblings as a route brings them (`iotedge-protocol.md` §C6).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RuntimeStatus;
use crate::manifest::open_text;

/// What `$edgeAgent` reports of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentTwin {
    /// `$version` of its desired properties: the deployment as IoT Hub has it.
    pub desired_version: Option<i64>,
    /// `lastDesiredVersion`: the deployment that it looked at last.
    pub last_version: Option<i64>,
    /// `lastDesiredStatus.code`.
    pub code: Option<i64>,
    /// `lastDesiredStatus.description`, word for word but for secrets.
    pub description: String,
    /// What it runs on.
    pub platform: RuntimePlatform,
    /// When its reported properties changed last, as IoT Hub says. The twin is at least as old as that.
    pub reported_at: Option<Timestamp>,
    /// Since when it has said code and description of that deployment: as IoT Hub says, else since we have seen it.
    pub since: Option<Timestamp>,
}

/// `runtime.platform` of `$edgeAgent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimePlatform {
    /// `Kubernetes`, or `linux` where Docker runs the modules.
    pub os: Option<String>,
    /// `amd64`, `x86_64`.
    pub architecture: Option<String>,
    /// How many nodes the cluster has, where the runtime may know.
    pub nodes: Option<u64>,
}

/// A module in the reported properties of `$edgeAgent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedModule {
    /// `runtimeStatus`.
    pub status: RuntimeStatus,
    /// `statusDescription`.
    pub description: String,
    /// `exitCode`.
    pub exit_code: i64,
    /// Since when it has these, as IoT Hub says.
    pub since: Option<Timestamp>,
}

/// A client of edgeHub, as `$edgeHub` reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or is not.
    pub since: Option<Timestamp>,
}

/// What a sibling has reported since we listen, without secrets: patches of its twin laid over each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiblingTwin {
    /// The properties. Those that it reported before we listened are not among them.
    pub reported: Value,
    /// When the last patch came.
    pub patched_at: Timestamp,
    /// Properties that were too many or too long to be kept.
    pub left_out: u64,
}

/// What was read out of twins of IoT Edge's own modules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuntimeTwins {
    /// `$edgeAgent` of itself.
    pub agent: Option<AgentTwin>,
    /// `$edgeAgent` of the modules that it runs.
    pub modules: Option<BTreeMap<String, ReportedModule>>,
    /// `$edgeHub` of its clients that are modules, by module id.
    pub clients: Option<BTreeMap<String, Client>>,
    /// The deployment: the desired properties of `$edgeAgent`.
    pub deployment: Option<Value>,
}

impl RuntimeTwins {
    /// Reads a twin as IoT Hub shows it, or a list of twins as a query gives it; `None` where the text is neither.
    pub fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let twins = match &value {
            Value::Array(twins) => twins.iter().collect(),
            twin => vec![twin],
        };
        let twins: Vec<&Value> = twins.into_iter().filter(|twin| twin["properties"]["desired"].is_object()).collect();
        (!twins.is_empty()).then_some(())?;
        let mut read = Self::default();
        for twin in twins {
            match twin["moduleId"].as_str() {
                Some("$edgeHub") => read.clients = Some(clients(&twin["properties"]["reported"])),
                // A twin without a name is the one that people hand over.
                Some("$edgeAgent") | None => read.take_agent(&twin["properties"]),
                Some(_) => {}
            }
        }
        Some(read)
    }

    /// The deployment as the text of a manifest.
    pub fn manifest_text(&self) -> Option<String> {
        let desired = self.deployment.as_ref()?;
        Some(format!("{:#}", serde_json::json!({ "$edgeAgent": { "properties.desired": desired } })))
    }

    fn take_agent(&mut self, properties: &Value) {
        let (desired, reported) = (&properties["desired"], &properties["reported"]);
        self.deployment = Some(desired.clone());
        self.agent = reported.is_object().then(|| agent(desired, reported));
        let sections = ["systemModules", "modules"].into_iter().filter_map(|section| {
            let metadata = &reported["$metadata"][section];
            Some(reported[section].as_object()?.iter().map(move |(id, module)| (id, module, &metadata[id])))
        });
        let modules = sections.flatten().map(|(id, module, metadata)| (id.clone(), reported_module(module, metadata)));
        let modules: BTreeMap<_, _> = modules.collect();
        self.modules = (!modules.is_empty()).then_some(modules);
    }
}

/// The clients that are modules, out of what `$edgeHub` reports. Keys are `<device>/<module>`.
pub fn clients(reported: &Value) -> BTreeMap<String, Client> {
    let clients = reported["clients"].as_object().into_iter().flatten();
    let client = |(key, client): (&String, &Value)| {
        let (_, module) = key.split_once('/')?;
        let connected = client["status"].as_str()?.eq_ignore_ascii_case("connected");
        let since = moment(&client[if connected { "lastConnectedTimeUtc" } else { "lastDisconnectedTimeUtc" }]);
        Some((module.to_owned(), Client { connected, since }))
    };
    clients.filter_map(client).collect()
}

fn agent(desired: &Value, reported: &Value) -> AgentTwin {
    let status = &reported["lastDesiredStatus"];
    let metadata = &reported["$metadata"];
    let changed = ["lastDesiredStatus", "lastDesiredVersion"].map(|key| moment(&metadata[key]["$lastUpdated"]));
    AgentTwin {
        desired_version: desired["$version"].as_i64(),
        last_version: reported["lastDesiredVersion"].as_i64(),
        code: status["code"].as_i64(),
        description: open_text(status["description"].as_str().unwrap_or_default()),
        platform: platform(&reported["runtime"]["platform"]),
        reported_at: moment(&metadata["$lastUpdated"]),
        since: changed.into_iter().flatten().max(),
    }
}

/// On Kubernetes the architecture is a JSON text: `[{"name":"amd64","nodes_count":2}]`.
fn platform(platform: &Value) -> RuntimePlatform {
    let architecture = platform["architecture"].as_str();
    let nodes: Option<Vec<Value>> = architecture.and_then(|text| serde_json::from_str(text).ok());
    let text = |text: &str| Some(text.to_owned());
    RuntimePlatform {
        os: platform["os"].as_str().and_then(text),
        architecture: match &nodes {
            Some(kinds) => kinds.first().and_then(|kind| kind["name"].as_str()).and_then(text),
            None => architecture.and_then(text),
        },
        nodes: nodes.map(|kinds| kinds.iter().filter_map(|kind| kind["nodes_count"].as_u64()).sum()),
    }
}

fn reported_module(module: &Value, metadata: &Value) -> ReportedModule {
    let text = |key: &str| module[key].as_str().unwrap_or_default();
    let changed = ["runtimeStatus", "statusDescription"].map(|key| moment(&metadata[key]["$lastUpdated"]));
    ReportedModule {
        status: RuntimeStatus::of_word(text("runtimeStatus")),
        description: open_text(text("statusDescription")),
        exit_code: module["exitCode"].as_i64().unwrap_or_default(),
        since: changed.into_iter().flatten().max(),
    }
}

/// A moment of IoT Hub; "never" is in the year 1.
fn moment(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    let zoned = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    let moment: Option<Timestamp> = text.parse().ok().or_else(|| zoned.parse().ok());
    moment.filter(|moment| *moment > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_twin_of_the_agent_says_what_is_written_what_runs_and_on_what() {
        let twin = json!({ "deviceId": "d", "moduleId": "$edgeAgent", "properties": {
            "desired": { "modules": { "scorer": { "settings": { "image": "i" } } }, "$version": 3 },
            "reported": {
                "lastDesiredVersion": 2,
                "lastDesiredStatus": { "code": 500, "description": "failed at https://me:hunter2@host/x" },
                "runtime": { "platform": { "os": "Kubernetes", "architecture": "[{\"name\":\"amd64\",\"nodes_count\":2}]" } },
                "systemModules": { "edgeHub": { "runtimeStatus": "running", "exitCode": 0 } },
                "modules": { "scorer": { "runtimeStatus": "backoff", "statusDescription": "why", "exitCode": 139 } },
                "$metadata": { "$lastUpdated": "2026-01-01T00:10:00Z",
                    "lastDesiredStatus": { "$lastUpdated": "2026-01-01T00:05:00Z" },
                    "modules": { "scorer": { "runtimeStatus": { "$lastUpdated": "2026-01-01T00:01:00.5Z" } } } } } } });
        let read = RuntimeTwins::read(&twin.to_string()).unwrap();
        let agent = read.agent.unwrap();
        assert_eq!((agent.desired_version, agent.last_version, agent.code), (Some(3), Some(2), Some(500)));
        assert_eq!(agent.description, "failed at https://**********@host/x");
        let platform = agent.platform;
        assert_eq!((platform.os.as_deref(), platform.architecture.as_deref()), (Some("Kubernetes"), Some("amd64")));
        assert_eq!(platform.nodes, Some(2));
        assert_eq!(agent.since, Some("2026-01-01T00:05:00Z".parse().unwrap()));
        let modules = read.modules.unwrap();
        assert_eq!((modules["scorer"].status, modules["scorer"].exit_code), (RuntimeStatus::Backoff, 139));
        assert_eq!(modules["scorer"].since, Some("2026-01-01T00:01:00.5Z".parse().unwrap()));
        assert_eq!((modules.len(), modules["edgeHub"].since), (2, None));
        assert_eq!(read.deployment.unwrap()["modules"]["scorer"]["settings"]["image"], "i");
    }

    #[test]
    fn a_list_of_twins_has_the_clients_of_edge_hub_too() {
        let twins = json!([
            { "moduleId": "scorer", "properties": { "desired": {}, "reported": { "modules": {} } } },
            { "moduleId": "$edgeHub", "properties": { "desired": {}, "reported": { "clients": {
                "d/scorer": { "status": "Disconnected", "lastConnectedTimeUtc": "2026-01-01T00:00:00Z",
                    "lastDisconnectedTimeUtc": "2026-01-01T00:05:00.1234567Z" },
                "d/camera": { "status": "Connected", "lastDisconnectedTimeUtc": "0001-01-01T00:00:00" },
                "leaf": { "status": "Connected" } } } } },
        ]);
        let read = RuntimeTwins::read(&twins.to_string()).unwrap();
        assert_eq!((read.agent, read.modules, read.deployment), (None, None, None));
        let clients = read.clients.unwrap();
        let since = "2026-01-01T00:05:00.1234567Z".parse().ok();
        assert_eq!(clients["scorer"], Client { connected: false, since });
        assert_eq!(clients["camera"], Client { connected: true, since: None });
        assert_eq!(clients.len(), 2);
    }

    #[test]
    fn what_is_no_twin_is_none() {
        for text in ["", "{", "[]", "7", r#"{"modulesContent": {}}"#, r#"{"properties": {"desired": 1}}"#] {
            assert_eq!(RuntimeTwins::read(text), None, "{text}");
        }
    }
}
