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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A container's status.
    fn container(name: &str, state: &Value) -> Value {
        json!({ "name": name, "state": state, "image": "a/b:1", "imageID": "", "ready": true, "restartCount": 3 })
    }

    /// The pod of the module that is `label` on Kubernetes.
    fn pod(label: &str, status: &Value) -> Pod {
        let labels = json!({ "net.azure-devices.edge.module": label });
        serde_json::from_value(json!({ "metadata": { "labels": labels }, "status": status })).unwrap()
    }

    /// What is reported where the pod is in `phase` and the module's container in `state`, while the proxy runs.
    fn reported_in(phase: &str, state: &Value) -> (RuntimeStatus, String) {
        let proxy = container("proxy", &json!({ "running": { "startedAt": "2019-01-01T00:00:00Z" } }));
        let status = json!({ "phase": phase, "reason": "Why", "message": "what", "containerStatuses": [proxy, container("m", state)] });
        let reported = reported(&pod("m", &status)).unwrap();
        (reported.status, reported.description)
    }

    #[test]
    fn phase_and_state_of_the_container_are_one_status() {
        use RuntimeStatus::{Backoff, Failed, Running, Stopped, Unknown};
        let waiting = |reason: &str| json!({ "waiting": { "reason": reason } });
        let ended = |code: i32| json!({ "terminated": { "exitCode": code, "reason": "Error" } });
        let runs = json!({ "running": { "startedAt": "2020-01-02T03:04:05Z" } });
        for (phase, state, status, description) in [
            ("Running", waiting("CrashLoopBackOff"), Backoff, "Module in Back-off reason: CrashLoopBackOff"),
            ("Running", ended(3), Failed, "Module Failed reason: Error"),
            ("Running", ended(0), Stopped, "Module Stopped reason: Error"),
            ("Running", runs.clone(), Running, "Started at 2020-01-02T03:04:05Z"),
            ("Pending", waiting("ErrImagePull"), Backoff, "Module in Back-off reason: ErrImagePull"),
            ("Pending", ended(-1), Failed, "Module Failed reason: Error"),
            ("Pending", ended(0), Stopped, "Module Stopped reason: Error"),
            ("Pending", runs.clone(), Backoff, "Started at 2020-01-02T03:04:05Z"),
            ("Unknown", runs.clone(), Unknown, "Module status Unknown reason: Why"),
            ("Succeeded", runs.clone(), Stopped, "Module Stopped reason: Why with message: what"),
            ("Failed", runs, Failed, "Module Failed reason: Why with message: what"),
        ] {
            assert_eq!(reported_in(phase, &state), (status, description.to_owned()), "{phase} {state}");
        }
    }

    #[test]
    fn a_module_without_a_container_has_failed() {
        for phase in ["Running", "Pending"] {
            let reported = reported(&pod("m", &json!({ "phase": phase, "reason": "Unschedulable" }))).unwrap();
            assert_eq!(reported.status, RuntimeStatus::Failed, "{phase}");
            let description = &reported.description;
            assert!(
                description.contains("container status Unknown") && description.contains("Unschedulable"),
                "{description}"
            );
            assert_eq!(reported.image, "unknown:unknown");
            assert_eq!((reported.exit_code, reported.restarts), (0, 0));
        }
        // Its container runs, but is looked for without what stands before the first letter, and without dots.
        let runs = json!({ "running": {} });
        for (label, status) in
            [("1m", RuntimeStatus::Failed), ("a.b", RuntimeStatus::Failed), ("m1", RuntimeStatus::Running)]
        {
            let status_of = json!({ "phase": "Running", "containerStatuses": [container(label, &runs)] });
            assert_eq!(reported(&pod(label, &status_of)).unwrap().status, status, "{label}");
        }
        let shouted = json!({ "phase": "Running", "containerStatuses": [container("M", &runs)] });
        assert_eq!(reported(&pod("m", &shouted)).unwrap().status, RuntimeStatus::Running);
    }

    #[test]
    fn a_pod_that_says_nothing_is_unknown_and_an_unknown_phase_is_passed_over() {
        let silent = reported(&pod("m", &Value::Null)).unwrap();
        assert_eq!((silent.status, silent.description.as_str()), (RuntimeStatus::Unknown, "Unable to get pod status"));
        assert_eq!(reported(&pod("m", &json!({ "phase": "Dreaming" }))), None);
        assert_eq!(reported(&serde_json::from_value(json!({ "status": { "phase": "Running" } })).unwrap()), None);
    }

    #[test]
    fn an_exit_code_is_of_this_state_or_of_the_one_before() {
        let ended = |code: i32| json!({ "terminated": { "exitCode": code } });
        let code = |state: &Value| {
            let mut own = container("m", state);
            own["lastState"] = ended(137);
            let reported = reported(&pod("m", &json!({ "phase": "Running", "containerStatuses": [own] }))).unwrap();
            assert_eq!((reported.image.as_str(), reported.restarts), ("a/b:1", 3));
            reported.exit_code
        };
        assert_eq!(code(&ended(3)), 3);
        assert_eq!(code(&json!({ "waiting": { "reason": "CrashLoopBackOff" } })), 137);
    }

    #[test]
    fn of_several_pods_of_a_module_the_last_counts() {
        let named = |label: &str, id: &str, phase: &str| {
            let mut pod = pod(label, &json!({ "phase": phase }));
            pod.metadata.annotations = Some([(MODULE_ID.to_owned(), id.to_owned())].into());
            pod
        };
        let pods = [
            named("mym", "my_M", "Failed"),
            pod("n", &json!({ "phase": "Failed" })),
            named("mym", "my_M", "Unknown"),
            Pod::default(),
        ];
        let found = reported_of_all(&pods);
        let found: Vec<_> = found.iter().map(|one| (one.module.as_str(), one.status.word())).collect();
        assert_eq!(found, [("my_M", "unknown"), ("n", "failed")]);
    }

    #[test]
    fn a_status_leads_back_to_what_it_can_mean() {
        let back_off = |reason| format!("Module in Back-off reason: {reason}");
        for (status, description, meaning) in [
            (RuntimeStatus::Running, "Started at 1/2/2020 3:04:05 AM".to_owned(), Meaning::Runs),
            (RuntimeStatus::Backoff, "Started at 1/2/2020 3:04:05 AM".to_owned(), Meaning::ProxyMissing),
            (RuntimeStatus::Backoff, back_off("ContainerCreating"), Meaning::Starting),
            (RuntimeStatus::Backoff, back_off("ImagePullBackOff"), Meaning::ImageMissing),
            (RuntimeStatus::Backoff, back_off("CreateContainerConfigError"), Meaning::ConfigurationRefused),
            (RuntimeStatus::Backoff, back_off("CrashLoopBackOff"), Meaning::Crashes),
            (
                RuntimeStatus::Failed,
                "Module Failed reason: Evicted with message: The node was low on memory".to_owned(),
                Meaning::Evicted,
            ),
            (RuntimeStatus::Stopped, "Module Stopped reason: Completed".to_owned(), Meaning::Ended),
            (RuntimeStatus::Unknown, "Module status Unknown reason: NodeLost".to_owned(), Meaning::NodeLost),
        ] {
            assert_eq!(meanings(status, &description), [meaning], "{description}");
        }
        let unscheduled = reported(&pod("m", &json!({ "phase": "Pending" }))).unwrap();
        assert_eq!(meanings(unscheduled.status, &unscheduled.description), [Meaning::NoContainer]);
        assert!(meanings(RuntimeStatus::Failed, "Module Failed reason: Error").contains(&Meaning::EndedWithError));
        assert!(meanings(RuntimeStatus::Backoff, &back_off("SomethingNew")).len() > 1);
    }
}
