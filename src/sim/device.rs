//! The device as sources of evidence.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Scenario;
use crate::evidence::RuntimeTwins;
use crate::sources::{Look, Question, Sight, Source};

/// A device that was switched on at some moment and follows a scenario since.
#[derive(Debug, Clone)]
pub struct Device {
    scenario: Arc<Scenario>,
    started: Instant,
}

impl Device {
    /// Switches a device on.
    pub fn start(scenario: Scenario) -> Self {
        Self { scenario: Arc::new(scenario), started: Instant::now() }
    }

    /// Time since the device was switched on.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Its modules as the workload API lists them on Docker (`iotedge-protocol.md` §C2a).
    pub(super) fn listed(&self) -> Vec<Value> {
        self.scenario.listed(self.elapsed())
    }

    /// Everything that can be asked of it.
    pub fn sources(&self) -> Vec<Arc<dyn Source>> {
        [Question::Manifest, Question::Modules, Question::Gpus]
            .map(|question| Arc::new(Part { device: self.clone(), question }) as Arc<dyn Source>)
            .into()
    }
}

/// The device, asked for one thing.
struct Part {
    device: Device,
    question: Question,
}

impl Source for Part {
    fn name(&self) -> &'static str {
        "simulated device"
    }

    fn question(&self) -> Question {
        self.question
    }

    fn look(&self) -> Look<'_> {
        let (scenario, elapsed) = (&self.device.scenario, self.device.elapsed());
        let sight = match self.question {
            Question::Manifest => Sight::Manifest(Box::new(scenario.manifest().clone())),
            Question::Modules => {
                let (agent, modules) = (Some(Scenario::agent()), Some(scenario.modules(elapsed)));
                Sight::Twins(Box::new(RuntimeTwins { agent, modules, ..RuntimeTwins::default() }))
            }
            Question::Gpus => {
                let (driver, gpus) = scenario.gpus(elapsed);
                Sight::Gpus(driver, gpus)
            }
            Question::Reports
            | Question::Siblings
            | Question::Engine
            | Question::Process
            | Question::Network
            | Question::Grants => {
                return Box::pin(std::future::ready(Ok(None)));
            }
        };
        Box::pin(std::future::ready(Ok(Some(sight))))
    }
}
