//! How every module of a device stands: a table for people, JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::json::lines;
use super::{Judged, words};
use crate::evidence::{Container, Snapshot, SourceLine};
use crate::manifest::{self, Manifest};
use crate::report::{Health, Standing, Subject};

/// How a device stands.
#[derive(Serialize)]
struct Device<'j> {
    taken_at: Timestamp,
    health: Health,
    modules: BTreeMap<&'j str, Module<'j>>,
    sources: &'j [SourceLine],
}

/// How a module stands.
#[derive(Default, Serialize)]
struct Module<'j> {
    health: Health,
    /// The rule that decides it.
    rule: Option<&'static str>,
    /// What that rule found.
    finding: Option<&'j str>,
    /// What it does, in the words of Docker or IoT Edge.
    status: Option<&'static str>,
    /// Since when it runs, or is in that state.
    since: Option<Timestamp>,
    image: Option<&'j str>,
    addresses: &'j [String],
    /// `8080 -> 80/tcp`.
    ports: Vec<String>,
    /// How to find addresses and ports where they are not known.
    find: Option<String>,
}

/// The table, for a terminal of `width` columns.
pub fn text(judged: &Judged, width: usize) -> String {
    let device = device(judged);
    let column = |name: &str, cell: &dyn Fn(&Module<'_>) -> usize| {
        device.modules.values().map(cell).max().unwrap_or_default().max(name.len())
    };
    let name = device.modules.keys().map(|id| id.len()).max().unwrap_or_default().max("MODULE".len());
    let does = column("STATUS", &|module| module.status.unwrap_or("-").len());
    let ports = column("PORTS", &|module| reach(module).len());
    let mut out = String::new();
    let _ = writeln!(out, "{:name$}  {:8}  {:does$}  {:ports$}  DECIDED BY", "MODULE", "HEALTH", "STATUS", "PORTS");
    for (id, module) in &device.modules {
        let why = match (module.rule, module.finding) {
            (Some(rule), Some(finding)) => format!("{rule}: {finding}"),
            (Some(rule), None) => rule.to_owned(),
            (None, _) => "-".to_owned(),
        };
        let (health, status) = (module.health.word(), module.status.unwrap_or("-"));
        let line = format!("{id:name$}  {health:8}  {status:does$}  {:ports$}  {why}", reach(module));
        let cut = line.char_indices().nth(width).map_or(line.len(), |(end, _)| end);
        let _ = writeln!(out, "{}", line[..cut].trim_end());
    }
    if device.modules.is_empty() {
        let _ = writeln!(out, "no module is known; give --manifest FILE, or run where IoT Edge or Docker can be asked");
    }
    let _ = writeln!(out);
    for source in device.sources {
        let _ = writeln!(out, "{}", words::source(source, device.taken_at));
    }
    let _ = writeln!(out, "device: {}", device.health.word());
    out
}

/// The same as JSON.
pub fn json(judged: &Judged) -> String {
    lines(&device(judged))
}

fn reach(module: &Module<'_>) -> String {
    if module.ports.is_empty() { "-".to_owned() } else { module.ports.join(", ") }
}

fn device(judged: &Judged) -> Device<'_> {
    let snapshot = &judged.snapshot;
    let standings = judged.report.standings();
    let standing =
        |id: &str| standings.iter().find(|(subject, _)| subject.module() == Some(id)).map(|(_, standing)| *standing);
    let modules = ids(snapshot).into_iter().map(|id| (id, module(judged, id, standing(id).unwrap_or_default())));
    Device {
        taken_at: snapshot.taken_at,
        health: judged.report.overall_health(),
        modules: modules.collect(),
        sources: &snapshot.sources,
    }
}

/// Every module that anybody knows of.
fn ids(snapshot: &Snapshot) -> BTreeSet<&str> {
    let declared = snapshot.manifest.known().into_iter().flat_map(Manifest::modules).map(manifest::Module::id);
    let reported = snapshot.modules.known().into_iter().flat_map(BTreeMap::keys).map(String::as_str);
    let listed = snapshot.siblings.known().into_iter().flat_map(BTreeMap::keys).map(String::as_str);
    let seen = snapshot.engine.known().into_iter().flat_map(|engine| engine.containers.keys()).map(String::as_str);
    declared.chain(reported).chain(listed).chain(seen).collect()
}

fn module<'j>(judged: &'j Judged, id: &'j str, Standing { health, rule }: Standing) -> Module<'j> {
    let snapshot = &judged.snapshot;
    let container = snapshot.engine.known().and_then(|engine| engine.containers.get(id));
    let reported = snapshot.modules.known().and_then(|modules| modules.get(id));
    let listed = snapshot.siblings.known().and_then(|modules| modules.get(id));
    let decides = |(evaluation, _): &(&crate::report::Evaluation, &crate::finding::Finding)| {
        Some(evaluation.rule) == rule && matches!(&evaluation.subject, Subject::Module(module) if **module == *id)
    };
    let worst = judged.report.findings().filter(decides).max_by_key(|(_, finding)| finding.severity.rank());
    Module {
        health,
        rule,
        finding: worst.map(|(_, finding)| finding.message.as_str()),
        status: container.map(|container| container.status.word()).or(reported.map(|state| state.status.word())),
        since: container.and_then(Container::since).or(reported.map(|state| state.since)),
        image: container.map(|container| container.image.as_str()).or(listed.map(|sibling| sibling.image.as_str())),
        addresses: container.map_or(&[], |container| container.addresses.as_slice()),
        ports: container.into_iter().flat_map(|container| &container.ports).map(ToString::to_string).collect(),
        find: container.is_none().then(|| {
            format!(
                "`docker inspect {id}` on the device, or `kubectl -n iotedge get service {}` on Kubernetes",
                id.to_ascii_lowercase()
            )
        }),
    }
}
