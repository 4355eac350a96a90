//! Where two sources say different things of one module. Both sides are kept, each with its source and its age: which of
//! them is right nobody can tell from here.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Container, ModuleState, RuntimeStatus, Snapshot};
use crate::manifest::{Form, Manifest, Module};

/// How long a container has to be as it is before another source that does not say so is wrong. The agent looks every 5 s
/// (`ase-runtime.md` §2.7); its twin is in IoT Hub some seconds later.
const SETTLED: SignedDuration = SignedDuration::from_mins(1);

/// Two statements about one thing that cannot both be true now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// What they are about.
    pub about: About,
    /// The two, the one that was just asked first.
    pub sides: [Statement; 2],
}

/// What a conflict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// Whether the module runs.
    State,
    /// Which image it has.
    Image,
    /// Whether there is such a module.
    Presence,
}

/// What one source says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Who says it.
    pub source: &'static str,
    /// What.
    pub says: String,
    /// When that was so, where it is known.
    pub at: Option<Timestamp>,
}

const DOCKER: &str = "Docker";
const AGENT: &str = "the twin of $edgeAgent";
const LIST: &str = "IoT Edge's list of modules";
const DEPLOYMENT: &str = "the deployment";
const OWN: &str = "the module's own twin";

impl Snapshot {
    /// What the sources say differently of the module `id`.
    pub fn conflicts(&self, id: &str) -> Vec<Conflict> {
        let engine = self.engine.known();
        let container = engine.and_then(|engine| engine.containers.get(id));
        let reported = self.modules.known().and_then(|modules| modules.get(id));
        let mut found = Vec::new();
        match container.filter(|container| self.is_settled(container)) {
            Some(container) => {
                found.extend(reported.and_then(|reported| self.reported_state(container, reported)));
                found.extend(self.listed_state(id, container));
                found.extend(self.listed_image(id, container));
                found.extend(self.declared(id, container));
                if reported.is_none() && self.modules.known().is_some() && container.is_running() {
                    let sides = [docker(self, says(container)), agent(self, "there is no such module", None)];
                    found.push(Conflict { about: About::Presence, sides });
                }
            }
            None if container.is_none() && engine.is_some() => found.extend(self.without_container(id, reported)),
            None => {}
        }
        found.extend(reported.and_then(|reported| self.own_twin(id, reported)));
        found
    }

    /// Whether `container` has been as it is for long enough that everybody knows.
    fn is_settled(&self, container: &Container) -> bool {
        container.since().is_none_or(|since| self.taken_at.duration_since(since) >= SETTLED)
    }

    fn reported_state(&self, container: &Container, reported: &ModuleState) -> Option<Conflict> {
        let runs = match reported.status {
            RuntimeStatus::Running | RuntimeStatus::Unhealthy => true,
            RuntimeStatus::Stopped | RuntimeStatus::Failed => false,
            // It waits, or nobody knows: that fits everything.
            RuntimeStatus::Backoff | RuntimeStatus::Unknown => return None,
        };
        // A module that crashes again and again is up in between.
        (runs != container.is_running() && !container.is_looping()).then(|| Conflict {
            about: About::State,
            sides: [docker(self, says(container)), agent(self, reported.status.word(), Some(reported.since))],
        })
    }

    fn listed_state(&self, id: &str, container: &Container) -> Option<Conflict> {
        let listed = self.siblings.known()?.get(id)?;
        let runs = match listed.status.as_str() {
            "running" => true,
            "stopped" | "failed" => false,
            _ => return None,
        };
        (runs != container.is_running() && !container.is_looping()).then(|| Conflict {
            about: About::State,
            sides: [docker(self, says(container)), list(self, listed.status.clone())],
        })
    }

    /// The list has the id of the image, as Docker has; digests of a registry are ids of the same image, by another name.
    fn listed_image(&self, id: &str, container: &Container) -> Option<Conflict> {
        let digest = self.siblings.known()?.get(id)?.digest.as_deref()?;
        let images = &self.engine.known()?.images;
        let is_same = digest == container.image_id.0
            || images.iter().any(|(name, id)| *id == container.image_id && name.ends_with(&format!("@{digest}")));
        (!is_same && !container.image_id.0.is_empty()).then(|| Conflict {
            about: About::Image,
            sides: [docker(self, container.image_id.0.clone()), list(self, digest.to_owned())],
        })
    }

    /// The deployment against a container that is there.
    fn declared(&self, id: &str, container: &Container) -> Option<Conflict> {
        let manifest = self.manifest.known()?;
        let side = |says: &str| Statement { source: DEPLOYMENT, says: says.to_owned(), at: None };
        match manifest.module(id) {
            Some(module) if module.is_stopped() && container.is_running() => Some(Conflict {
                about: About::State,
                sides: [docker(self, says(container)), side("it is to be stopped")],
            }),
            Some(_) => None,
            None => is_whole(manifest).then(|| Conflict {
                about: About::Presence,
                sides: [docker(self, says(container)), side("there is no such module")],
            }),
        }
    }

    fn without_container(&self, id: &str, reported: Option<&ModuleState>) -> Option<Conflict> {
        let removed = self.engine.known()?.removed.get(id);
        if removed.is_some_and(|at| self.taken_at.duration_since(*at) < SETTLED) {
            return None;
        }
        let reported = reported.filter(|reported| reported.status == RuntimeStatus::Running)?;
        let sides = [docker(self, "there is no container".to_owned()), agent(self, "running", Some(reported.since))];
        Some(Conflict { about: About::State, sides })
    }

    /// A module that reports properties runs, whatever others say of it.
    fn own_twin(&self, id: &str, reported: &ModuleState) -> Option<Conflict> {
        let twin = self.twins.known()?.get(id)?;
        let is_down = matches!(reported.status, RuntimeStatus::Stopped | RuntimeStatus::Failed);
        let said = self.agent.known().and_then(|agent| agent.reported_at).unwrap_or(reported.since).max(reported.since);
        let is_newer = twin.patched_at.duration_since(said) >= SETTLED;
        (is_down && is_newer).then(|| Conflict {
            about: About::State,
            sides: [
                Statement { source: OWN, says: "it reports properties".to_owned(), at: Some(twin.patched_at) },
                agent(self, reported.status.word(), Some(reported.since)),
            ],
        })
    }

    /// When the source `name` answered.
    fn answered_at(&self, name: &str) -> Timestamp {
        let line = self.sources.iter().find(|line| line.name == name);
        line.map_or(self.taken_at, |line| line.taken_at)
    }
}

fn docker(snapshot: &Snapshot, says: String) -> Statement {
    Statement { source: DOCKER, says, at: Some(snapshot.answered_at("docker")) }
}

fn list(snapshot: &Snapshot, says: String) -> Statement {
    Statement { source: LIST, says, at: Some(snapshot.answered_at("workload")) }
}

fn agent(snapshot: &Snapshot, says: &str, since: Option<Timestamp>) -> Statement {
    let at = snapshot.agent.known().and_then(|agent| agent.reported_at).or(since);
    Statement { source: AGENT, says: says.to_owned(), at }
}

fn says(container: &Container) -> String {
    container.status.word().to_owned()
}

/// Whether a module that `manifest` does not have is not to be there: layers are laid over others.
fn is_whole(manifest: &Manifest) -> bool {
    matches!(manifest.form(), Form::Deployment | Form::Template) && manifest.modules().any(Module::is_system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{ContainerStatus, Engine, Observed, Sibling, SiblingTwin};
    use std::collections::BTreeMap;

    const NOW: &str = "2026-01-01T01:00:00Z";

    fn snapshot(status: ContainerStatus, since: &str) -> Snapshot {
        let container = Container {
            status,
            started_at: since.parse().ok(),
            finished_at: since.parse().ok(),
            ..Container::default()
        };
        let engine = Engine { containers: [("m".to_owned(), container)].into(), ..Engine::default() };
        Snapshot { engine: Observed::Known(engine), ..Snapshot::empty(NOW.parse().unwrap()) }
    }

    fn reported(status: RuntimeStatus) -> Observed<BTreeMap<String, ModuleState>> {
        let since = "2026-01-01T00:00:00Z".parse().unwrap();
        let state = ModuleState { status, description: String::new(), exit_code: 0, since };
        Observed::Known([("m".to_owned(), state)].into())
    }

    #[test]
    fn both_sides_are_kept_with_their_sources_and_ages() {
        let mut snapshot = snapshot(ContainerStatus::Exited, "2026-01-01T00:30:00Z");
        snapshot.modules = reported(RuntimeStatus::Running);
        let found = snapshot.conflicts("m");
        assert_eq!(found.len(), 1, "{found:?}");
        let [docker, agent] = &found[0].sides;
        assert_eq!((docker.source, docker.says.as_str(), docker.at), (DOCKER, "exited", NOW.parse().ok()));
        assert_eq!((agent.source, agent.says.as_str()), (AGENT, "running"));
        assert_eq!(agent.at, "2026-01-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn what_has_just_changed_is_no_conflict() {
        for (since, conflicts) in [("2026-01-01T00:59:30Z", 0), ("2026-01-01T00:59:00Z", 1)] {
            let mut snapshot = snapshot(ContainerStatus::Exited, since);
            snapshot.modules = reported(RuntimeStatus::Running);
            assert_eq!(snapshot.conflicts("m").len(), conflicts, "{since}");
        }
    }

    #[test]
    fn the_same_in_other_words_is_no_conflict() {
        for (container, reports, conflicts) in [
            (ContainerStatus::Running, RuntimeStatus::Running, 0),
            (ContainerStatus::Running, RuntimeStatus::Unhealthy, 0),
            (ContainerStatus::Running, RuntimeStatus::Backoff, 0),
            (ContainerStatus::Running, RuntimeStatus::Failed, 1),
            (ContainerStatus::Exited, RuntimeStatus::Stopped, 0),
            (ContainerStatus::Restarting, RuntimeStatus::Running, 0),
        ] {
            let mut snapshot = snapshot(container, "2026-01-01T00:00:00Z");
            snapshot.modules = reported(reports);
            assert_eq!(snapshot.conflicts("m").len(), conflicts, "{container:?} {reports:?}");
        }
    }

    #[test]
    fn images_are_the_same_by_id_or_by_digest() {
        for (digest, conflicts) in [("sha256:11", 0), ("sha256:d1", 0), ("sha256:22", 1)] {
            let mut snapshot = snapshot(ContainerStatus::Running, "2026-01-01T00:00:00Z");
            let Observed::Known(engine) = &mut snapshot.engine else { panic!() };
            let id = crate::evidence::ImageId("sha256:11".to_owned());
            engine.images = [("r/m@sha256:d1".to_owned(), id.clone())].into();
            engine.containers.values_mut().for_each(|container| container.image_id = id.clone());
            let (image, status, digest) = ("m".to_owned(), "running".to_owned(), Some(digest.to_owned()));
            let sibling = Sibling { image, digest, labels: Vec::new(), status };
            snapshot.siblings = Observed::Known([("m".to_owned(), sibling)].into());
            assert_eq!(snapshot.conflicts("m").len(), conflicts, "{:?}", snapshot.conflicts("m"));
        }
    }

    #[test]
    fn a_module_that_reports_runs() {
        let mut snapshot = Snapshot::empty(NOW.parse().unwrap());
        snapshot.modules = reported(RuntimeStatus::Failed);
        for (at, conflicts) in [("2026-01-01T00:00:30Z", 0), ("2026-01-01T00:50:00Z", 1)] {
            let twin = SiblingTwin { reported: serde_json::json!({}), patched_at: at.parse().unwrap(), left_out: 0 };
            snapshot.twins = Observed::Known([("m".to_owned(), twin)].into());
            assert_eq!(snapshot.conflicts("m").len(), conflicts, "{at}");
        }
    }
}
