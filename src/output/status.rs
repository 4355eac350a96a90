//! How every module of a device stands: a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::json::lines;
use super::{Judged, words};
use crate::evidence::{AgentTwin, Conflict, Container, SourceLine};
use crate::finding::Finding;
use crate::kube_model::{Service, object_name};
use crate::manifest::{self, Form};
use crate::report::{Evaluation, Health, Settled, Standing, Standings, Subject};
use crate::target::Platform;

/// How a device stands.
#[derive(Serialize)]
struct Device<'j> {
    taken_at: Timestamp,
    #[serde(flatten)]
    stands: Stands,
    /// What `$edgeAgent` reports of itself, where its twin was handed over.
    agent: Option<&'j AgentTwin>,
    modules: BTreeMap<&'j str, Module<'j>>,
    sources: &'j [SourceLine],
}

/// How something stands, and what is remembered of it. A single look remembers nothing.
#[derive(Serialize)]
struct Stands {
    health: Health,
    /// The rule that decides it.
    rule: Option<&'static str>,
    /// Since when the health is so, where earlier looks are remembered.
    health_since: Option<Timestamp>,
    /// How it stood before that.
    before: Option<Before>,
}

#[derive(Serialize)]
struct Before {
    health: Health,
    rule: Option<&'static str>,
}

/// How a module stands.
#[derive(Serialize)]
struct Module<'j> {
    #[serde(flatten)]
    stands: Stands,
    /// What the rule that decides found.
    finding: Option<String>,
    /// What it does, in the words of Docker or IoT Edge.
    status: Option<&'static str>,
    /// Since when it does that.
    since: Option<Timestamp>,
    image: Option<&'j str>,
    addresses: &'j [String],
    /// `8080 -> 80/tcp`.
    ports: Vec<String>,
    /// The same as the deployment asks for them, where nobody saw them.
    declared_ports: Vec<String>,
    /// The name by which its siblings reach it, where they do.
    name: Option<String>,
    /// How to find addresses and ports where they are not known.
    find: Option<String>,
    /// What sources say differently.
    conflicts: Vec<Conflict>,
    /// What it has reported in its own twin, where a route brings that.
    twin: Option<&'j serde_json::Value>,
}

/// The table, for a terminal of `width` columns. `standings` is what is remembered of earlier looks.
pub fn text(judged: &Judged, standings: Option<&Standings>, width: usize) -> String {
    let device = device(judged, standings);
    let now = device.taken_at;
    let column = |name: &str, cell: &dyn Fn(&Module<'_>) -> String| {
        device.modules.values().map(|module| cell(module).chars().count()).max().unwrap_or_default().max(name.len())
    };
    let name = device.modules.keys().map(|id| id.chars().count()).max().unwrap_or_default().max("MODULE".len());
    let since = column("SINCE", &|module| module.stands.age(now));
    let does = column("STATUS", &|module| module.status.unwrap_or("-").to_owned());
    let ports = column("PORTS", &reach);
    let mut out = String::new();
    let mut row = |cells: [&str; 6]| {
        let [id, health, age, status, reach, why] = cells;
        let line = format!("{id:name$}  {health:8}  {age:since$}  {status:does$}  {reach:ports$}  {why}");
        let cut = line.char_indices().nth(width).map_or(line.len(), |(end, _)| end);
        let _ = writeln!(out, "{}", line[..cut].trim_end());
    };
    row(["MODULE", "HEALTH", "SINCE", "STATUS", "PORTS", "DECIDED BY"]);
    for (id, module) in &device.modules {
        let why = match (module.stands.rule, &module.finding) {
            (Some(rule), Some(finding)) => format!("{rule}: {finding}"),
            (Some(rule), None) => rule.to_owned(),
            (None, _) => "-".to_owned(),
        };
        let was = module.stands.before.as_ref().map(|before| format!("(was {}) ", before.health.word()));
        let why = was.unwrap_or_default() + &why;
        let (age, reach) = (module.stands.age(now), reach(module));
        row([id, module.stands.health.word(), &age, module.status.unwrap_or("-"), &reach, &why]);
    }
    if device.modules.is_empty() {
        let _ = writeln!(out, "no module is known; give --manifest FILE, or run where IoT Edge or Docker can be asked");
    }
    let _ = writeln!(out);
    if device.modules.values().any(|module| !module.declared_ports.is_empty()) {
        let _ = writeln!(out, "ports in brackets are those of the deployment: nobody saw them");
    }
    if let Some(find) = device.modules.values().find_map(|module| module.find.as_ref()) {
        let _ = writeln!(out, "addresses and ports that nobody saw: {find}, and so on");
    }
    if let Some(agent) = device.agent {
        let _ = writeln!(out, "{}", agent_line(agent));
    }
    for source in device.sources {
        let _ = writeln!(out, "{}", words::source(source, device.taken_at));
    }
    let age = match device.stands.health_since {
        Some(_) => format!("for {}", device.stands.age(now)),
        None => device.stands.age(now),
    };
    let _ = writeln!(out, "device: {}, {age}", device.stands.health.word());
    out
}

/// The same as JSON.
pub fn json(judged: &Judged, standings: Option<&Standings>) -> String {
    lines(&device(judged, standings))
}

fn agent_line(agent: &AgentTwin) -> String {
    let platform = &agent.platform;
    let parts = [
        platform.os.clone(),
        platform.architecture.clone(),
        platform.nodes.map(|nodes| format!("{nodes} nodes")),
        agent.last_version.map(|version| format!("looked at deployment {version}")),
        agent.code.map(|code| format!("code {code}")),
    ];
    format!("IoT Edge: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn reach(module: &Module<'_>) -> String {
    match (module.ports.as_slice(), module.declared_ports.as_slice()) {
        ([], []) => "-".to_owned(),
        ([], declared) => format!("({})", declared.join(", ")),
        (ports, _) => ports.join(", "),
    }
}

fn device<'j>(judged: &'j Judged, standings: Option<&Standings>) -> Device<'j> {
    let snapshot = &judged.snapshot;
    let found = judged.report.standings();
    let module = |id| {
        let found = found.iter().find(|(subject, _)| subject.module() == Some(id));
        let found = found.map_or(Standing::UNJUDGED, |(_, standing)| *standing);
        let remembered = standings.map(|standings| standings.of_module(id));
        (id, module(judged, id, found, remembered.as_ref()))
    };
    // Bare createOptions are nobody's, and are judged all the same.
    let nameless = snapshot.manifest.known().filter(|manifest| manifest.form() == Form::CreateOptions);
    let nameless = nameless.map(|_| manifest::CREATE_OPTIONS);
    let worst = found.values().max_by_key(|standing| standing.health).copied().unwrap_or_default();
    Device {
        taken_at: snapshot.taken_at,
        stands: Stands::of(worst, standings.map(|standings| &standings.overall)),
        agent: snapshot.agent.known(),
        modules: snapshot.module_ids().into_iter().chain(nameless).map(module).collect(),
        sources: &snapshot.sources,
    }
}

impl Stands {
    /// As it is remembered, else as one look `found` it.
    fn of(found: Standing, remembered: Option<&Settled>) -> Self {
        let Standing { health, rule } = remembered.map_or(found, |settled| settled.standing);
        let before = remembered.and_then(|settled| settled.before);
        let before = before.map(|Standing { health, rule }| Before { health, rule });
        Self { health, rule, health_since: remembered.map(|settled| settled.since), before }
    }

    /// How long it has stood so.
    fn age(&self, now: Timestamp) -> String {
        let Some(since) = self.health_since else { return "first look".to_owned() };
        let age = now.duration_since(since);
        match age {
            _ if age < SignedDuration::from_mins(2) => format!("{} s", age.as_secs()),
            _ if age < SignedDuration::from_hours(2) => format!("{} min", age.as_mins()),
            _ if age < SignedDuration::from_hours(48) => format!("{} h", age.as_hours()),
            _ => format!("{} days", age.as_hours() / 24),
        }
    }
}

fn module<'j>(judged: &'j Judged, id: &'j str, found: Standing, remembered: Option<&Settled>) -> Module<'j> {
    let snapshot = &judged.snapshot;
    let platform = judged.report.target.platform;
    let container = snapshot.engine.known().and_then(|engine| engine.containers.get(id));
    let listed = snapshot.siblings.known().and_then(|modules| modules.get(id));
    let manifest = snapshot.manifest.known().filter(|manifest| manifest.form() != Form::CreateOptions);
    let declared = manifest.and_then(|manifest| manifest.module(id));
    let stands = Stands::of(found, remembered);
    let decides = |(evaluation, _): &(&Evaluation, &Finding)| {
        Some(evaluation.rule) == stands.rule
            && matches!(&evaluation.subject, Subject::Module(module) if **module == *id)
    };
    let worst = judged.report.findings().filter(decides).max_by_key(|(_, finding)| finding.severity.rank());
    let finding = worst.map(|(_, finding)| finding.message.clone());
    let image_declared = || declared.and_then(|module| module.entry().get("settings")?.get("image")?.as_str());
    let declared_ports = declared.filter(|_| container.is_none()).map(|module| declared_ports(module, platform));
    Module {
        // What is remembered may not have been found this time.
        finding: finding.or_else(|| remembered.and_then(|settled| settled.finding.clone())),
        stands,
        status: snapshot.state(id),
        since: snapshot.state_since(id),
        image: container
            .map(|container| container.image.as_str())
            .or(listed.map(|sibling| sibling.image.as_str()))
            .or_else(image_declared),
        addresses: container.map_or(&[], |container| container.addresses.as_slice()),
        ports: container.into_iter().flat_map(|container| &container.ports).map(ToString::to_string).collect(),
        declared_ports: declared_ports.unwrap_or_default(),
        name: name(id, declared, container, platform),
        find: container.is_none().then(|| find(id, platform)),
        conflicts: snapshot.conflicts(id),
        twin: snapshot.twins.known().and_then(|twins| twins.get(id)).map(|twin| &twin.reported),
    }
}

/// The ports that the target would publish for `module`: host ports of Docker, ports of its Service on Kubernetes.
fn declared_ports(module: manifest::Module<'_>, platform: Platform) -> Vec<String> {
    if platform.has_docker() {
        let bindings = module.port_bindings().into_iter();
        let bound = bindings.filter_map(|port| Some((port.host?, port.container, port.protocol.word())));
        return bound.map(|(host, container, protocol)| format!("{host} -> {container}/{protocol}")).collect();
    }
    let service = Service::of(module);
    let ports = service.ports.iter();
    ports.map(|port| format!("{} -> {}/{}", port.number, port.target, port.protocol.word())).collect()
}

/// On Docker every container has its name in the network of IoT Edge; on Kubernetes only what has ports has a Service
/// (`ase-runtime.md` §2.2, §3).
fn name(
    id: &str,
    declared: Option<manifest::Module<'_>>,
    container: Option<&Container>,
    platform: Platform,
) -> Option<String> {
    if container.is_some() || platform.has_docker() {
        return Some(id.to_owned());
    }
    let has_service = declared.is_some_and(|module| !Service::of(module).ports.is_empty());
    has_service.then(|| format!("{}.iotedge.svc.cluster.local", object_name(id)))
}

fn find(id: &str, platform: Platform) -> String {
    if platform.has_docker() {
        format!("`docker inspect {id}` on the device")
    } else {
        format!(
            "`kubectl -n iotedge get service {}` (EXTERNAL-IP, PORTS), or `iotedge list` on the device",
            object_name(id)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Snapshot;
    use crate::manifest::Manifest;
    use crate::settings::Settings;
    use crate::text::Source;
    use crate::verbs::check::CheckArgs;

    fn judged(target: &str) -> Judged {
        let text = r#"{"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {
            "FrameGrabber": {"settings": {"image": "grabber:1", "createOptions": {
                "ExposedPorts": {"9000/tcp": {}}, "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}}},
            "writer": {"settings": {"image": "writer:1"}}}}}}}"#;
        let manifest = Manifest::read(&Source::new("m.json", text)).unwrap();
        let settings = Settings { target: target.parse().unwrap(), ..Settings::default() };
        let snapshot = Snapshot::of_manifest(manifest, "2026-01-01T00:00:00Z".parse().unwrap());
        Judged::of_device(snapshot, &settings, &CheckArgs::default())
    }

    #[test]
    fn ports_that_nobody_saw_are_those_of_the_deployment_and_it_says_how_to_find_them() {
        let kubernetes: serde_json::Value = serde_json::from_str(&json(&judged("ase-k8s"), None)).unwrap();
        let grabber = &kubernetes["modules"]["FrameGrabber"];
        assert_eq!(grabber["declared_ports"], serde_json::json!(["9000 -> 9000/tcp", "8080 -> 80/tcp"]));
        assert_eq!(grabber["name"], "framegrabber.iotedge.svc.cluster.local");
        assert!(grabber["find"].as_str().unwrap().contains("get service framegrabber"), "{grabber}");
        assert_eq!(kubernetes["modules"]["writer"]["name"], serde_json::Value::Null);
        let docker: serde_json::Value = serde_json::from_str(&json(&judged("ase-vm"), None)).unwrap();
        let grabber = &docker["modules"]["FrameGrabber"];
        assert_eq!(grabber["declared_ports"], serde_json::json!(["8080 -> 80/tcp"]));
        assert_eq!((grabber["name"].as_str(), grabber["image"].as_str()), (Some("FrameGrabber"), Some("grabber:1")));
        assert!(grabber["find"].as_str().unwrap().contains("docker inspect FrameGrabber"), "{grabber}");
    }

    #[test]
    fn a_single_look_says_so_and_a_remembered_one_says_since_when() {
        let judged = judged("ase-vm");
        assert!(text(&judged, None, 200).contains("first look"));
        let mut settling = crate::report::Settling::default();
        let (now, pace) = (judged.snapshot.taken_at, SignedDuration::from_secs(15));
        let before = now - SignedDuration::from_mins(30);
        let standings = settling.look(&judged.report, before, pace, false);
        let shown = text(&judged, Some(&standings), 200);
        assert!(shown.contains("  30 min  ") && shown.trim_end().ends_with("for 30 min"), "{shown}");
    }
}
