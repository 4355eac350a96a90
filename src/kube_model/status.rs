//! What the agent reports to IoT Hub about a pod, and back: what a reported status can mean (`k8s-translation.md` §7, class
//! `PodExtensions`).

use k8s_openapi::api::core::v1::{ContainerState, Pod};

use super::names::dns_value;
use super::objects::{MODULE_ID, MODULE_LABEL};

/// A `runtimeStatus` as IoT Hub has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuntimeStatus {
    /// `running`
    Running,
    /// `backoff`
    Backoff,
    /// `failed`
    Failed,
    /// `stopped`
    Stopped,
    /// `unknown`
    Unknown,
}

/// What the agent reports of one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The module, by its own name where the pod has that.
    pub module: String,
    /// `runtimeStatus`
    pub status: RuntimeStatus,
    /// `statusDescription`
    pub description: String,
    /// The image, `unknown:unknown` where there is no container yet.
    pub image: String,
    /// `exitCode`, of the state or the one before.
    pub exit_code: i32,
    /// How often the container was started anew.
    pub restarts: i32,
}

/// What a reported status can mean for the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The container runs.
    Runs,
    /// The container runs, but the pod is not there yet: its proxy is missing.
    ProxyMissing,
    /// The image is being pulled, or the pod's volumes and network are being made.
    Starting,
    /// The image cannot be pulled.
    ImageMissing,
    /// The container's configuration cannot be used: an unknown config map or secret, or a name.
    ConfigurationRefused,
    /// The container ends again and again.
    Crashes,
    /// The container has ended well.
    Ended,
    /// The container has ended with an error.
    EndedWithError,
    /// No node takes the pod: a claim that is not there or not bound, a GPU or memory that no node has. Or the module's
    /// id has a dot or begins with a digit, so that the agent does not find its container, which may well run.
    NoContainer,
    /// The node has thrown the pod out.
    Evicted,
    /// Nobody hears from the node.
    NodeLost,
}

impl RuntimeStatus {
    /// As IoT Hub has it.
    pub fn word(self) -> &'static str {
        match self {
            RuntimeStatus::Running => "running",
            RuntimeStatus::Backoff => "backoff",
            RuntimeStatus::Failed => "failed",
            RuntimeStatus::Stopped => "stopped",
            RuntimeStatus::Unknown => "unknown",
        }
    }
}

/// What the agent reports of `pod`; `None` where it passes over it: it has no module's label, or a phase that the agent does
/// not know.
pub fn reported(pod: &Pod) -> Option<Reported> {
    let label = pod.metadata.labels.as_ref()?.get(MODULE_LABEL)?;
    let own = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(MODULE_ID));
    let module = own.unwrap_or(label).clone();
    // The container is called by the Deployment's name, but looked for by another rule.
    let container = dns_value(label).and_then(|name| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        statuses.iter().find(|status| status.name.eq_ignore_ascii_case(&name))
    });
    let (status, description) = state(pod, container.and_then(|container| container.state.as_ref()))?;
    let last = container.and_then(|container| {
        let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        now.or(container.last_state.as_ref().and_then(|state| state.terminated.as_ref()))
    });
    Some(Reported {
        module,
        status,
        description,
        image: container.map_or("unknown:unknown".to_owned(), |container| container.image.clone()),
        exit_code: last.map_or(0, |last| last.exit_code),
        restarts: container.map_or(0, |container| container.restart_count),
    })
}

/// What the agent reports of `pods`, each module once: the pod that came last counts.
pub fn reported_of_all(pods: &[Pod]) -> Vec<Reported> {
    let mut all: Vec<Reported> = Vec::new();
    for reported in pods.iter().filter_map(reported) {
        match all.iter_mut().find(|there| there.module == reported.module) {
            Some(there) => *there = reported,
            None => all.push(reported),
        }
    }
    all
}

/// What a reported status and its description can mean.
pub fn meanings(status: RuntimeStatus, description: &str) -> &'static [Meaning] {
    let reason = description.rsplit_once("reason: ").map_or("", |(_, reason)| reason);
    let reason = reason.split(" with message:").next().unwrap_or_default().trim();
    match (status, reason) {
        (RuntimeStatus::Running, _) => &[Meaning::Runs],
        (RuntimeStatus::Backoff, "CrashLoopBackOff") => &[Meaning::Crashes],
        (RuntimeStatus::Backoff, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName") => &[Meaning::ImageMissing],
        (RuntimeStatus::Backoff, "CreateContainerConfigError" | "CreateContainerError") => {
            &[Meaning::ConfigurationRefused]
        }
        (RuntimeStatus::Backoff, "ContainerCreating" | "PodInitializing") => &[Meaning::Starting],
        (RuntimeStatus::Backoff, "") if description.starts_with("Started at") => &[Meaning::ProxyMissing],
        (RuntimeStatus::Backoff, _) => &[
            Meaning::Starting,
            Meaning::ImageMissing,
            Meaning::ConfigurationRefused,
            Meaning::Crashes,
            Meaning::ProxyMissing,
        ],
        (RuntimeStatus::Failed, _) if description.contains("container status Unknown") => &[Meaning::NoContainer],
        (RuntimeStatus::Failed, "Evicted") => &[Meaning::Evicted],
        (RuntimeStatus::Failed, _) => &[Meaning::EndedWithError, Meaning::NoContainer, Meaning::Evicted],
        (RuntimeStatus::Stopped, _) => &[Meaning::Ended],
        (RuntimeStatus::Unknown, _) => &[Meaning::NodeLost],
    }
}

fn state(pod: &Pod, container: Option<&ContainerState>) -> Option<(RuntimeStatus, String)> {
    let Some(status) = &pod.status else {
        return Some((RuntimeStatus::Unknown, "Unable to get pod status".to_owned()));
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (reason, message) = (text(&status.reason), text(&status.message));
    let phase = status.phase.as_deref()?;
    let pending = match phase {
        "Running" => false,
        "Pending" => true,
        "Unknown" => return Some((RuntimeStatus::Unknown, format!("Module status Unknown reason: {reason}"))),
        "Succeeded" => {
            return Some((RuntimeStatus::Stopped, format!("Module Stopped reason: {reason} with message: {message}")));
        }
        "Failed" => {
            return Some((RuntimeStatus::Failed, format!("Module Failed reason: {reason} with message: {message}")));
        }
        _ => return None,
    };
    let none = || {
        let start = "Module Failed with container status Unknown More Info";
        (RuntimeStatus::Failed, format!("{start}: K8s reason: {reason} with message: {message}"))
    };
    let Some(container) = container else { return Some(none()) };
    Some(if let Some(waiting) = &container.waiting {
        (RuntimeStatus::Backoff, format!("Module in Back-off reason: {}", text(&waiting.reason)))
    } else if let Some(terminated) = &container.terminated {
        let (status, word) = match terminated.exit_code {
            0 => (RuntimeStatus::Stopped, "Stopped"),
            _ => (RuntimeStatus::Failed, "Failed"),
        };
        (status, format!("Module {word} reason: {}", text(&terminated.reason)))
    } else if let Some(running) = &container.running {
        let started = running.started_at.as_ref().map_or(String::new(), |time| time.0.to_string());
        let status = if pending { RuntimeStatus::Backoff } else { RuntimeStatus::Running };
        (status, format!("Started at {started}"))
    } else {
        none()
    })
}
