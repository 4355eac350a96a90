//! Kubernetes objects as text: YAML for `kubectl`, JSON for programs, a tree for people, and what a change does.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::kube_model::objects::{Fault, ModuleObjects, Stage, refused};
use crate::verbs::render::{Changes, PodChange, Rendering};

/// The objects that are created, each its own YAML document, in the order of the agent; before them, as comments, what they
/// rest on, what stops the agent, and what of createOptions is ignored.
///
/// # Errors
/// An object cannot be written, which none of these types allows.
pub fn yaml(rendering: &Rendering) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    let created = rendering.created()?;
    for line in preamble(rendering, &created) {
        let _ = writeln!(out, "# {line}");
    }
    for object in created {
        out.push_str("---\n");
        out.push_str(&document(&object)?);
    }
    Ok(out)
}

/// The same for programs.
///
/// # Errors
/// As [`yaml`].
pub fn json(rendering: &Rendering) -> Result<String, serde_json::Error> {
    let settings = rendering.settings.described(&rendering.given).into_iter();
    let settings = settings.map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin }));
    let faults = rendering.objects.faults.iter().map(|fault| {
        json!({
            "module": fault.module, "stage": fault.stage.word(), "error": fault.kind.exception(),
            "path": fault.path.to_string(), "message": fault.message,
        })
    });
    let ignored = rendering.modules().flat_map(|module| {
        module.ignored.iter().map(|one| json!({ "module": module.id, "option": one.option, "because": one.because }))
    });
    let created = rendering.created()?;
    let refused = refused(&created).into_iter().map(|(kind, name, refusal)| {
        json!({ "kind": kind, "name": name, "field": refusal.field, "because": refusal.because })
    });
    let all = json!({
        "agent": rendering.settings.agent.to_string(),
        "settings": settings.collect::<Vec<_>>(),
        "stopped_at": rendering.objects.stopped_at().map(Stage::word),
        "faults": faults.collect::<Vec<_>>(),
        "ignored": ignored.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "objects": created,
    });
    serde_json::to_string_pretty(&all).map(|text| text + "\n")
}

/// Module by module: pod, containers, volumes, Service, claims, and what is ignored.
///
/// # Errors
/// As [`yaml`].
pub fn tree(rendering: &Rendering) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for module in rendering.modules() {
        let branches = branches(module);
        let _ = writeln!(out, "{}", module.id);
        for (i, branch) in branches.iter().enumerate() {
            let (first, rest) = if i + 1 == branches.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            for (j, line) in branch.iter().enumerate() {
                let _ = writeln!(out, "{}{line}", if j == 0 { first } else { rest });
            }
        }
        out.push('\n');
    }
    for line in preamble(rendering, &rendering.created()?).iter().filter(|line| !line.starts_with("ignored")) {
        let _ = writeln!(out, "{line}");
    }
    Ok(out)
}

/// What a change does: which objects are new, gone or changed and how, and which modules start, stop or restart, and why.
///
/// # Errors
/// As [`yaml`].
pub fn changes(changes: &Changes) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for ((kind, name), (before, after)) in &changes.objects {
        let text = |object: &Option<Value>| object.as_ref().map_or(Ok(String::new()), document);
        match (before, after) {
            (None, _) => {
                let _ = writeln!(out, "+ {kind} {name}");
            }
            (_, None) => {
                let _ = writeln!(out, "- {kind} {name}");
            }
            _ => {
                let _ = writeln!(out, "~ {kind} {name}");
                let (before, after) = (text(before)?, text(after)?);
                let diff = similar::TextDiff::from_lines(before.as_str(), after.as_str());
                let hunks = diff.unified_diff().context_radius(2).to_string();
                if hunks.is_empty() {
                    out.push_str("    only in values that are not shown\n");
                }
                for line in hunks.lines() {
                    let _ = writeln!(out, "    {line}");
                }
            }
        }
    }
    if changes.objects.is_empty() {
        out.push_str("no object changes\n");
    }
    for (id, change) in &changes.pods {
        let _ = match change {
            PodChange::Starts => writeln!(out, "{id} starts"),
            PodChange::Stops => writeln!(out, "{id} stops"),
            PodChange::Restarts(fields) => writeln!(out, "{id} restarts: {}", fields.join(", ")),
        };
    }
    if changes.pods.is_empty() {
        out.push_str("no module restarts\n");
    }
    for line in stops(&changes.after, &changes.after.created()?) {
        let _ = writeln!(out, "{line}");
    }
    Ok(out)
}

/// What the objects rest on, and what is missing.
fn preamble(rendering: &Rendering, created: &[Value]) -> Vec<String> {
    let mut lines = vec![format!("what the IoT Edge agent {} creates, with", rendering.settings.agent)];
    for (key, value, origin) in rendering.settings.described(&rendering.given) {
        lines.push(format!("  {key}={value} ({origin})"));
    }
    for module in rendering.modules() {
        for ignored in &module.ignored {
            lines.push(format!("ignored: {} of {}: {}", ignored.option, module.id, ignored.because));
        }
    }
    lines.extend(stops(rendering, created));
    lines
}

/// What stops the agent, and how far it comes.
fn stops(rendering: &Rendering, created: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(stage) = rendering.objects.stopped_at() {
        lines.push(match stage {
            Stage::Plan => "the agent stops: nothing is deployed, for no module".to_owned(),
            stage => {
                let word = stage.word();
                format!("the agent stops: no {word} are created or changed, for no module, nor what comes after them")
            }
        });
        lines.extend(rendering.objects.faults.iter().map(|fault: &Fault| format!("error: {fault}")));
    }
    for (kind, name, refusal) in refused(created) {
        let field = if refusal.field.is_empty() { String::new() } else { format!(" {}:", refusal.field) };
        lines.push(format!("Kubernetes refuses {kind} {name}:{field} {}", refusal.because));
    }
    lines
}

fn document(object: &Value) -> Result<String, serde_json::Error> {
    let mut text = serde_saphyr::to_string(object).map_err(serde::ser::Error::custom)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn branches(module: &ModuleObjects) -> Vec<Vec<String>> {
    let mut branches = Vec::new();
    let spec = module.deployment.as_ref().and_then(|deployment| deployment.spec.as_ref());
    if let Some(spec) = spec
        && let Some(pod) = &spec.template.spec
    {
        branches.push(pod_lines(pod, spec.replicas.unwrap_or(1)));
    } else {
        branches.push(vec!["no pod: it cannot be made".to_owned()]);
    }
    if let Some(service) = &module.service
        && let Some(spec) = &service.spec
    {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let mut lines = vec![format!("service {name}, {}", spec.type_.as_deref().unwrap_or_default())];
        for port in spec.ports.iter().flatten() {
            let target = match &port.target_port {
                Some(IntOrString::Int(target)) => target.to_string(),
                Some(IntOrString::String(target)) => target.clone(),
                None => port.port.to_string(),
            };
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            lines.push(format!("   {}/{protocol} → {target}", port.port));
        }
        branches.push(lines);
    }
    for claim in &module.claims {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let modes = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()).map(|modes| modes.join(", "));
        branches.push(vec![format!("claim {name}, {}", modes.unwrap_or_default())]);
    }
    for ignored in &module.ignored {
        branches.push(vec![format!("ignored: {}: {}", ignored.option, ignored.because)]);
    }
    branches
}

fn pod_lines(pod: &PodSpec, replicas: i32) -> Vec<String> {
    let mut words = vec![format!("pod {}", pod.service_account_name.as_deref().unwrap_or_default())];
    for (flag, word) in [
        (replicas == 0, "stopped"),
        (pod.host_network == Some(true), "host network"),
        (pod.host_ipc == Some(true), "host IPC"),
        (pod.host_pid == Some(true), "host processes"),
    ] {
        if flag {
            words.push(word.to_owned());
        }
    }
    let mut lines = vec![words.join(", ")];
    for container in &pod.containers {
        lines.push(format!("   container {}: {}", container.name, container.image.as_deref().unwrap_or_default()));
        lines.extend(container_lines(container));
    }
    lines.extend(pod.volumes.iter().flatten().map(|volume| format!("   volume {}: {}", volume.name, source(volume))));
    lines
}

fn container_lines(container: &Container) -> Vec<String> {
    let mut lines = Vec::new();
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    for (resource, amount) in limits.into_iter().flatten() {
        lines.push(format!("      limit {resource}: {}", amount.0));
    }
    for mount in container.volume_mounts.iter().flatten() {
        let read_only = if mount.read_only == Some(true) { ", read-only" } else { "" };
        lines.push(format!("      {} ← {}{read_only}", mount.mount_path, mount.name));
    }
    lines
}

fn source(volume: &Volume) -> String {
    if let Some(path) = &volume.host_path {
        format!("{} of the host, {}", path.path, path.type_.as_deref().unwrap_or("any kind"))
    } else if let Some(claim) = &volume.persistent_volume_claim {
        format!("claim {}", claim.claim_name)
    } else if let Some(map) = &volume.config_map {
        format!("config map {}", map.name)
    } else if volume.empty_dir.is_some() {
        "empty, gone with the pod".to_owned()
    } else {
        "as the extension says".to_owned()
    }
}
