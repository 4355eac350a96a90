//! Tells IoT Hub: reported properties when they change, telemetry when a module stands differently and at intervals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{Assessment, Channels, Clock};
use crate::evidence::GpuWindow;
use crate::hub::message::{self, Module};
use crate::hub::mirror::Mirror;
use crate::hub::reported::{self, About};
use crate::link::{Backoff, Session, SessionError};
use crate::settings::Settings;

/// How long after the last patch the twin is read: edgeHub sends patches on every 5 s (`iothub-limits.md` §1.4).
const CHECK: Duration = Duration::from_secs(15);
/// How long patches may follow each other before they are held back, so that the twin can be read.
const CHECK_AT_LAST: Duration = Duration::from_secs(120);
/// How long after that it is read again, in case it was changed since, or edgeHub answered from its own copy.
const CHECK_AGAIN: Duration = Duration::from_secs(900);
/// The first pause before patches are tried again, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// What was said so far.
struct Published {
    modules: BTreeMap<String, Module>,
    /// The GPUs of the last summary.
    gpus: Vec<GpuWindow>,
    messages: u64,
    summary_due: Instant,
    twin: Twin,
}

/// The reported properties, once they were read.
struct Twin {
    mirror: Option<Mirror>,
    /// When the last patch was sent, and the first one since they were read.
    last: Instant,
    unchecked: Option<Instant>,
    /// When to read them again if nothing is sent.
    again: Instant,
    backoff: Backoff,
}

pub(super) async fn run<S: Session>(session: Arc<S>, clock: Clock, mut channels: Channels) {
    let mut assessments = channels.assessment.subscribe();
    let now = Instant::now();
    let twin = Twin { mirror: None, last: now, unchecked: None, again: now, backoff: Backoff::new(PAUSE.0, PAUSE.1) };
    let mut published = Published { modules: BTreeMap::new(), gpus: Vec::new(), messages: 0, summary_due: now, twin };
    let mut retry = None;
    loop {
        let check = published.twin.mirror.as_ref().map(|_| published.twin.due(Instant::now()));
        let due = [retry, check].into_iter().flatten().min();
        let stopping = tokio::select! {
            changed = assessments.changed() => changed.is_err(),
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => false,
            () = channels.stopped() => true,
        };
        let assessment = assessments.borrow_and_update().clone();
        let settings = channels.desired.borrow().as_ref().map(|desired| desired.settings.clone());
        // Nothing is said before the settings are known: it might be about another target.
        let (Some(assessment), Some(settings)) = (assessment, settings) else {
            if stopping {
                return;
            }
            continue;
        };
        published.say(&channels, clock, &assessment, &settings);
        let report = published.twin.report(&*session, &channels, &assessment, &published.gpus);
        let reported = tokio::select! {
            reported = report => Some(reported),
            () = channels.past_grace() => None,
        };
        // What edgeHub does not take by then it will not take.
        let Some(reported) = reported else { return };
        retry = reported.err().map(|error| {
            let pause = published.twin.backoff.failed();
            tracing::warn!(%error, pause_s = pause.as_secs_f64(), "The reported properties wait; they are sent again.");
            Instant::now() + pause
        });
        if stopping {
            return;
        }
        // Whatever changes meanwhile is one patch then: `watch` keeps the latest.
        tokio::select! {
            () = sleep(settings.intervals.publish()) => {}
            () = channels.stopped() => {}
        }
    }
}

impl Published {
    /// Puts messages out: transitions, and a summary where it is due.
    fn say(&mut self, channels: &Channels, clock: Clock, assessment: &Assessment, settings: &Settings) {
        for module in &assessment.modules {
            let before = self.modules.get(&module.id).cloned();
            if before.as_ref().is_some_and(|before| before.stands_as(module)) {
                continue;
            }
            // The first look is no transition: the summary says how everything stood.
            if let Some(before) = before
                && settings.outputs.health
            {
                channels.outbox.push(message::transition(self.number(), clock.now(), &before, module));
            }
            self.modules.insert(module.id.clone(), module.clone());
        }
        self.modules.retain(|id, _| assessment.modules.iter().any(|module| module.id == *id));
        let now = Instant::now();
        if now < self.summary_due {
            return;
        }
        let intervals = &settings.intervals;
        self.summary_due = now + intervals.summary();
        if settings.outputs.health {
            let Assessment { report, standings, modules, .. } = assessment;
            let summary = message::summary(self.number(), clock.now(), report, standings, modules);
            channels.outbox.push(summary);
        }
        let mut gpus = Vec::new();
        channels.gpu_windows.send_modify(|windows| gpus = windows.take());
        if assessment.snapshot.gpus.known().is_some() {
            if settings.outputs.gpu {
                let modules = assessment.snapshot.gpus_of_modules();
                channels.outbox.push(message::gpu(self.number(), clock.now(), &gpus, &modules));
            }
            self.gpus = gpus;
        }
    }

    fn number(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }
}

impl Twin {
    /// When the twin is to be read. Some time after a patch edgeHub may not have sent it on yet.
    fn due(&self, now: Instant) -> Instant {
        let quiet = self.last + CHECK;
        match self.unchecked {
            None => self.again,
            Some(first) if now >= first + CHECK_AT_LAST => quiet,
            Some(first) => quiet.min(first + CHECK_AT_LAST),
        }
    }

    /// Patches what changed, and reads the twin when it is time to.
    async fn report<S: Session>(
        &mut self,
        session: &S,
        channels: &Channels,
        assessment: &Assessment,
        gpus: &[GpuWindow],
    ) -> Result<(), SessionError> {
        let now = Instant::now();
        let due = self.due(now);
        let mirror = match &mut self.mirror {
            Some(mirror) => {
                if now >= due {
                    let well = mirror.check(&session.twin().await?["reported"]);
                    if !well {
                        tracing::warn!("IoT Hub does not have what was reported; it is taken back and sent again.");
                    }
                    self.unchecked = None;
                    self.again = now + if well && !mirror.is_trying() { CHECK_AGAIN } else { CHECK };
                } else if self.unchecked.is_some_and(|first| now >= first + CHECK_AT_LAST) {
                    return Ok(());
                }
                mirror
            }
            none => {
                self.again = now + CHECK_AGAIN;
                none.insert(Mirror::of(&session.twin().await?["reported"]))
            }
        };
        channels.withheld.send_if_modified(|known| std::mem::replace(known, mirror.withheld()) != mirror.withheld());
        let section = {
            let desired = channels.desired.borrow();
            let (restarts, outbox) = (channels.restarts.borrow(), channels.outbox.standing());
            let about = About {
                desired: desired.as_ref(),
                restarts: &restarts,
                withheld: mirror.withheld(),
                dropped: outbox.dropped,
            };
            let Assessment { report, standings, snapshot, modules, .. } = assessment;
            reported::section(report, standings, snapshot, (modules, gpus), &about)
        };
        for patch in mirror.patches(&section) {
            match session.report(patch.clone()).await {
                Ok(()) => mirror.taken(&patch),
                Err(error @ SessionError::Refused { .. }) => {
                    tracing::error!(%error, "A patch of the reported properties was refused; it is sent in smaller parts.");
                    mirror.refused(&patch);
                }
                Err(error) => return Err(error),
            }
            self.last = Instant::now();
            self.unchecked.get_or_insert(self.last);
        }
        self.backoff.succeeded();
        Ok(())
    }
}
