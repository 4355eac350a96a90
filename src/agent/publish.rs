//! Tells IoT Hub: reported properties when they change, telemetry when a module stands differently and at intervals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Assessment, Channels, Clock};
use crate::evidence::Gpu;
use crate::hub::message::{self, Module};
use crate::hub::reported;
use crate::link::{Session, SessionError};
use crate::settings::Intervals;

/// What is known to have arrived.
struct Published {
    reported: Value,
    modules: BTreeMap<String, Module>,
    /// The GPUs of the last summary.
    gpus: Vec<Gpu>,
    messages: u64,
    summary_due: Instant,
    last_summary: Instant,
}

pub(super) async fn run<S: Session>(session: Arc<S>, clock: Clock, twin: Value, mut channels: Channels) {
    let mut assessments = channels.assessment.subscribe();
    let now = Instant::now();
    let mut published = Published {
        reported: twin,
        modules: BTreeMap::new(),
        gpus: Vec::new(),
        messages: 0,
        summary_due: now,
        last_summary: now,
    };
    loop {
        let stopping = tokio::select! {
            changed = assessments.changed() => changed.is_err(),
            () = channels.stopped() => true,
        };
        let assessment = assessments.borrow_and_update().clone();
        let intervals = channels.settings.borrow().intervals.clone();
        if let Some(assessment) = assessment
            && let Err(error) = publish(&*session, clock, &assessment, &mut published, &intervals).await
        {
            tracing::warn!(%error, "Publishing failed; what was not sent is sent with the next change.");
        }
        if stopping {
            return;
        }
        // Whatever changes meanwhile is one patch then: `watch` keeps the latest.
        tokio::select! {
            () = tokio::time::sleep(intervals.publish()) => {}
            () = channels.stopped() => {}
        }
    }
}

/// Sends what changed: transitions first, since the twin only shows where they led.
async fn publish<S: Session>(
    session: &S,
    clock: Clock,
    assessment: &Assessment,
    published: &mut Published,
    intervals: &Intervals,
) -> Result<(), SessionError> {
    for module in &assessment.modules {
        let before = published.modules.get(&module.id).cloned();
        if before.as_ref() == Some(module) {
            continue;
        }
        // The first look is no transition: the summary says how everything stood.
        if let Some(before) = before {
            session.send(message::transition(published.number(), clock.now(), &before, module)).await?;
        }
        published.modules.insert(module.id.clone(), module.clone());
    }
    let now = Instant::now();
    if now >= published.summary_due {
        let window = now.duration_since(published.last_summary).max(intervals.collect());
        summarise(session, clock, assessment, published, window).await?;
        (published.last_summary, published.summary_due) = (now, now + intervals.summary());
    }
    let section = reported::section(&assessment.report, &assessment.snapshot, &assessment.modules, &published.gpus);
    for patch in reported::patches(&published.reported, &section) {
        session.report(patch.clone()).await?;
        reported::merge(&mut published.reported, &patch);
    }
    Ok(())
}

async fn summarise<S: Session>(
    session: &S,
    clock: Clock,
    assessment: &Assessment,
    published: &mut Published,
    window: Duration,
) -> Result<(), SessionError> {
    let number = published.number();
    session.send(message::summary(number, clock.now(), &assessment.report, &assessment.modules)).await?;
    if let Some(gpus) = assessment.snapshot.gpus.known() {
        session.send(message::gpu(published.number(), clock.now(), window.as_secs_f64(), gpus)).await?;
        published.gpus.clone_from(gpus);
    }
    Ok(())
}

impl Published {
    fn number(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }
}
