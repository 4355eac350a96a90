//! The long-lived module: tasks that collect evidence, judge it and publish what came of it.
//!
//! State flows one way through `watch` channels, where the latest value wins: sources → collect → [`Snapshot`] →
//! assess → [`Assessment`] → publish → session. Messages go through the [`outbox`]. The serve task turns desired
//! properties into settings and answers direct methods from the latest of everything. Every task is supervised.

mod assess;
mod clock;
mod collect;
mod dcgm_metrics;
mod gpu_metrics;
mod handed;
mod metrics;
mod outbox;
mod publish;
mod serve;
mod siblings;
mod supervise;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use assess::Assessment;
pub use clock::Clock;
pub use collect::once as look_once;

use self::handed::HandedOver;
use self::outbox::Outbox;
use self::siblings::Siblings;
use self::supervise::{Restarts, keep};
use crate::evidence::{GpuWindows, Snapshot};
use crate::link::Session;
use crate::settings::{Desired, LogLevel};
use crate::sources::Source;

/// How long the last patch and the messages that wait may take at the end. IoT Edge kills a module 10 s after SIGTERM.
const GRACE: Duration = Duration::from_millis(2500);

/// The composition root: everything that the module is made of, handed over.
pub struct Agent<S> {
    /// Where evidence comes from.
    pub sources: Vec<Arc<dyn Source>>,
    /// The way to edgeHub.
    pub session: Arc<S>,
    /// What time it is.
    pub clock: Clock,
    /// Where `/metrics`, `/healthz` and `/readyz` are asked for; nowhere without it.
    pub listener: Option<TcpListener>,
    /// Told which log level the settings ask for, if they do.
    pub log: Arc<dyn Fn(Option<LogLevel>) + Send + Sync>,
}

/// What the tasks share.
#[derive(Clone)]
struct Channels {
    /// The settings; none before the desired properties were read.
    desired: watch::Sender<Option<Desired>>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    assessment: watch::Sender<Option<Arc<Assessment>>>,
    /// What the GPUs did since the last summary.
    gpu_windows: watch::Sender<GpuWindows>,
    /// Counts up when somebody wants a new look at once.
    refresh: watch::Sender<u64>,
    outbox: Outbox,
    restarts: Restarts,
    /// Entries of the reported properties that cannot arrive.
    withheld: watch::Sender<usize>,
    /// Becomes true once, when the module is to end.
    stop: watch::Receiver<bool>,
}

impl<S: Session> Agent<S> {
    /// Runs until `stop` says so, then publishes a last time, sends what waits, disconnects and ends.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { mut sources, session, clock, listener, log } = self;
        let channels = Channels {
            desired: watch::Sender::new(None),
            snapshot: watch::Sender::new(None),
            assessment: watch::Sender::new(None),
            gpu_windows: watch::Sender::new(GpuWindows::default()),
            refresh: watch::Sender::new(0),
            outbox: Outbox::new(),
            restarts: watch::Sender::new(BTreeMap::new()),
            withheld: watch::Sender::new(0),
            stop: stop.clone(),
        };
        let handed = HandedOver::all(&channels.desired.subscribe());
        let siblings = Siblings::new();
        sources.push(Arc::new(siblings.clone()));
        sources.extend(handed.map(|source| Arc::new(source) as Arc<dyn Source>));

        let mut producers = JoinSet::new();
        let start = |name, tasks: &mut JoinSet<()>, task: Box<dyn FnMut() -> Task + Send>| {
            tasks.spawn(keep(name, channels.restarts.clone(), stop.clone(), task));
        };
        let (c, all) = (channels.clone(), Arc::<[_]>::from(sources));
        start("collect", &mut producers, Box::new(move || Box::pin(collect::run(Arc::clone(&all), clock, c.clone()))));
        let c = channels.clone();
        start("assess", &mut producers, Box::new(move || Box::pin(assess::run(c.clone()))));
        let (c, s) = (channels.clone(), Arc::clone(&session));
        start("publish", &mut producers, Box::new(move || Box::pin(publish::run(Arc::clone(&s), clock, c.clone()))));

        let mut servants = JoinSet::new();
        let (o, s) = (channels.outbox.clone(), Arc::clone(&session));
        start("telemetry", &mut servants, Box::new(move || Box::pin(outbox::run(Arc::clone(&s), o.clone()))));
        let methods = Arc::new(Semaphore::new(serve::AT_ONCE));
        let (c, s) = (channels.clone(), Arc::clone(&session));
        let serve = move || -> Task {
            let (s, log, methods) = (Arc::clone(&s), Arc::clone(&log), Arc::clone(&methods));
            Box::pin(serve::run(s, log, methods, (siblings.clone(), clock), c.clone()))
        };
        start("serve", &mut servants, Box::new(serve));
        if let Some(listener) = listener {
            let (c, s, listener) = (channels.clone(), Arc::clone(&session), Arc::new(listener));
            let serve = move || -> Task { Box::pin(metrics::run(Arc::clone(&listener), Arc::clone(&s), c.clone())) };
            start("metrics", &mut servants, Box::new(serve));
        }

        while producers.join_next().await.is_some() {}
        // All is said; what is said last has to get out, and nobody waits for ever.
        channels.outbox.close();
        let flushed = channels.outbox.emptied();
        if timeout(GRACE, flushed).await.is_err() {
            tracing::warn!(messages = channels.outbox.standing().waiting, "Messages were left unsent at the end.");
        }
        if timeout(GRACE, session.close()).await.is_err() {
            tracing::warn!("The session did not close in time.");
        }
        servants.shutdown().await;
    }
}

/// A supervised task.
type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Channels {
    /// Ready when the module is to end.
    async fn stopped(&mut self) {
        // An error means that nobody can say "stop" any more, which says it.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    /// Ready when the module was to end for as long as one part of its end may take.
    async fn past_grace(&self) {
        self.clone().stopped().await;
        sleep(GRACE).await;
    }

    /// The settings in force, the defaults before any were read.
    fn settings(&self) -> crate::settings::Settings {
        self.desired.borrow().as_ref().map(|desired| desired.settings.clone()).unwrap_or_default()
    }
}
