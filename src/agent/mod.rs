//! The long-lived module: tasks that collect evidence, judge it and publish what came of it.
//!
//! State flows one way through `watch` channels, where the latest value wins: sources → collect → [`Snapshot`] →
//! assess → [`Assessment`] → publish → session. The serve task answers direct methods from the latest of both.

mod assess;
mod clock;
mod collect;
mod publish;
mod serve;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use assess::Assessment;
pub use clock::Clock;

use crate::evidence::Snapshot;
use crate::link::{Session, SessionError};
use crate::settings::Settings;
use crate::sources::Source;

/// The composition root: everything that the module is made of, handed over.
pub struct Agent<S> {
    /// Where evidence comes from.
    pub sources: Vec<Arc<dyn Source>>,
    /// The way to edgeHub.
    pub session: Arc<S>,
    /// What time it is.
    pub clock: Clock,
}

/// The channels between the tasks.
#[derive(Clone)]
struct Channels {
    settings: watch::Sender<Settings>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    assessment: watch::Sender<Option<Arc<Assessment>>>,
    /// Becomes true once, when the module is to end.
    stop: watch::Receiver<bool>,
}

impl<S: Session> Agent<S> {
    /// Runs until `stop` says so, then publishes a last time and ends.
    ///
    /// # Errors
    /// The twin could not be read at the start, or a task died, which is a fault of ours.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), AgentError> {
        let mut twin = self.session.twin().await?;
        // The hub's own keys are not ours to patch.
        if let Some(reported) = twin["reported"].as_object_mut() {
            reported.retain(|key, _| !key.starts_with('$'));
        }
        let channels = Channels {
            settings: watch::Sender::new(settings_of(&twin["desired"]).unwrap_or_default()),
            snapshot: watch::Sender::new(None),
            assessment: watch::Sender::new(None),
            stop,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(collect::run(self.sources, self.clock, channels.clone()));
        tasks.spawn(assess::run(channels.clone()));
        tasks.spawn(publish::run(Arc::clone(&self.session), self.clock, twin["reported"].clone(), channels.clone()));
        tasks.spawn(serve::run(self.session, channels));
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| AgentError::Task(error.to_string()))?;
        }
        Ok(())
    }
}

/// What can end the module.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No twin, no settings.
    #[error("cannot read the module twin: {0}")]
    Twin(#[from] SessionError),
    /// A task panicked.
    #[error("internal error: a task died: {0}")]
    Task(String),
}

impl Channels {
    /// Ready when the module is to end.
    async fn stopped(&mut self) {
        // An error means that nobody can say "stop" any more, which says it.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// The settings in a desired section; `None`, with a line in the log, where they cannot be used.
fn settings_of(desired: &serde_json::Value) -> Option<Settings> {
    let mut desired = desired.clone();
    if let Some(members) = desired.as_object_mut() {
        members.retain(|key, _| !key.starts_with('$'));
    } else {
        return Some(Settings::default());
    }
    Settings::from_json(desired)
        .inspect_err(|error| tracing::warn!(%error, "Desired properties were not applied."))
        .ok()
}
