//! Asks every source at the interval of the settings and joins the answers into a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Channels, Clock};
use crate::evidence::{
    AgentTwin, ModuleState, Observed, ReportedModule, RuntimeTwins, Snapshot, SourceLine, Why, clients,
};
use crate::link::chance;
use crate::sources::{Question, Sight, Source};

/// How long one look may take. Nothing that a source asks is slow on a healthy device.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after news, so that what comes together is looked at together.
const SETTLE: Duration = Duration::from_millis(300);

type Answer = Result<Option<Sight>, String>;

/// What one source saw.
struct Seen {
    question: Question,
    sight: Answer,
    line: SourceLine,
}

/// One look of every source, as a snapshot in which every module has been in its state for no time.
pub async fn once(sources: &[Arc<dyn Source>], clock: Clock) -> Snapshot {
    let seen = look(sources, clock).await;
    join(seen, clock.now(), &mut Memory::default())
}

pub(super) async fn run(sources: Arc<[Arc<dyn Source>]>, clock: Clock, mut channels: Channels) {
    let mut memory = Memory::default();
    let mut refresh = channels.refresh.subscribe();
    let mut desired = channels.desired.subscribe();
    let news = Arc::new(Notify::new());
    // They end with this task.
    let mut watches = JoinSet::new();
    for source in sources.iter() {
        watches.spawn(watch(Arc::clone(source), Arc::clone(&news)));
    }
    loop {
        refresh.mark_unchanged();
        desired.mark_unchanged();
        let started = Instant::now();
        let seen = look(&sources, clock).await;
        let snapshot = join(seen, clock.now(), &mut memory);
        // Here, for whoever reports does not see every snapshot.
        if let Some(gpus) = snapshot.gpus.known() {
            channels.gpu_windows.send_modify(|windows| windows.add(gpus, snapshot.taken_at));
        }
        for source in sources.iter() {
            source.learn(&snapshot);
        }
        let (asked, answered) = (sources.len(), snapshot.answered());
        tracing::debug!(asked, answered, took_ms = started.elapsed().as_millis(), "Looked at everything.");
        channels.snapshot.send_replace(Some(Arc::new(snapshot)));
        // A little longer or shorter, so that devices that started together part.
        let interval = channels.settings().intervals.collect().mul_f64(0.95 + 0.1 * chance());
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = refresh.changed() => {}
            () = news.notified() => {}
            // They may hold another deployment.
            _ = desired.changed() => {}
            () = channels.stopped() => return,
        }
    }
}

/// Tells of everything new that `source` has to say.
async fn watch(source: Arc<dyn Source>, news: Arc<Notify>) {
    loop {
        source.changed().await;
        tokio::time::sleep(SETTLE).await;
        news.notify_one();
    }
}

/// One look of every source at once; each is done after [`TIMEOUT`] at the latest.
async fn look(sources: &[Arc<dyn Source>], clock: Clock) -> Vec<Seen> {
    let started = Instant::now();
    let mut looks = JoinSet::new();
    for (i, source) in sources.iter().enumerate() {
        let source = Arc::clone(source);
        looks.spawn(async move {
            let seen = tokio::time::timeout(TIMEOUT, source.look()).await;
            let sight = seen.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
            (i, sight, started.elapsed())
        });
    }
    let panicked = || (Err("the source panicked, a fault of ours".to_owned()), Duration::ZERO);
    let mut sights: Vec<_> = sources.iter().map(|_| panicked()).collect();
    while let Some(look) = looks.join_next().await {
        if let Ok((i, sight, latency)) = look {
            sights[i] = (sight, latency);
        }
    }
    let taken_at = clock.now();
    let seen = |(source, (sight, latency)): (&Arc<dyn Source>, (Answer, Duration))| {
        let answer = match &sight {
            Ok(Some(_)) => Observed::Known(()),
            Ok(None) => Observed::Absent,
            Err(why) => Observed::Unknown(Why::failed(why.clone())),
        };
        let latency_ms = latency.as_millis().try_into().unwrap_or(u64::MAX);
        // What a source has from earlier is as old as that.
        let age = if sight.is_ok() { source.age() } else { Duration::ZERO };
        let taken_at = taken_at.saturating_sub(age).unwrap_or(taken_at);
        let line = SourceLine { name: source.name().to_owned(), answer, latency_ms, taken_at };
        let sight = sight.map_err(|why| format!("{}: {why}", source.name()));
        Seen { question: source.question(), sight, line }
    };
    sources.iter().zip(sights).map(seen).collect()
}

/// What earlier looks saw: when each thing was first seen as it is.
#[derive(Default)]
struct Memory {
    modules: BTreeMap<String, (ReportedModule, Timestamp)>,
    /// What the agent said of which deployment.
    agent: Option<(AgentTwin, Timestamp)>,
}

/// Joins what was seen. Where two sources answer one question, what is known is kept, and of two answers the later one.
fn join(seen: Vec<Seen>, now: Timestamp, memory: &mut Memory) -> Snapshot {
    let mut snapshot = Snapshot::empty(now);
    for Seen { question, sight, line } in seen {
        snapshot.sources.push(line);
        match (question, sight) {
            (_, Ok(None)) => {}
            (_, Ok(Some(Sight::Manifest(manifest)))) => snapshot.manifest = Observed::Known(*manifest),
            (_, Ok(Some(Sight::Gpus(driver, gpus)))) => snapshot.see_gpus(driver, gpus),
            (_, Ok(Some(Sight::Twins(twins)))) => memory.take(*twins, &mut snapshot),
            (_, Ok(Some(Sight::Reports(twins)))) => {
                // edgeHub reports who is connected in its own twin.
                if let Some(hub) = twins.get("$edgeHub").filter(|_| snapshot.clients.known().is_none()) {
                    snapshot.clients = Observed::Known(clients(&hub.reported));
                }
                snapshot.twins = Observed::Known(twins);
            }
            (_, Ok(Some(Sight::Siblings(siblings)))) => snapshot.siblings = Observed::Known(siblings),
            (_, Ok(Some(Sight::Engine(engine)))) => snapshot.engine = Observed::Known(*engine),
            (_, Ok(Some(Sight::Process(process)))) => snapshot.process = Observed::Known(*process),
            (_, Ok(Some(Sight::Network(network)))) => snapshot.network = Observed::Known(*network),
            (_, Ok(Some(Sight::Grants(grants)))) => snapshot.grants = Observed::Known(*grants),
            (Question::Manifest, Err(why)) => snapshot.manifest.failed(why),
            (Question::Modules, Err(why)) => {
                snapshot.modules.failed(why.clone());
                snapshot.agent.failed(why);
            }
            (Question::Reports, Err(why)) => snapshot.twins.failed(why),
            (Question::Siblings, Err(why)) => snapshot.siblings.failed(why),
            (Question::Engine, Err(why)) => snapshot.engine.failed(why),
            (Question::Process, Err(why)) => snapshot.process.failed(why),
            (Question::Network, Err(why)) => snapshot.network.failed(why),
            (Question::Grants, Err(why)) => snapshot.grants.failed(why),
            (Question::Gpus, Err(why)) => snapshot.gpus.failed(why),
        }
    }
    snapshot
}

impl Memory {
    fn take(&mut self, twins: RuntimeTwins, snapshot: &mut Snapshot) {
        let now = snapshot.taken_at;
        if let Some(modules) = twins.modules {
            snapshot.modules = Observed::Known(self.dated(modules, now));
        }
        if let Some(mut agent) = twins.agent {
            let says = |agent: &AgentTwin| (agent.last_version, agent.code, agent.description.clone());
            let first = self.agent.take().filter(|(before, _)| says(before) == says(&agent)).map_or(now, |(_, at)| at);
            self.agent = Some((agent.clone(), first));
            agent.since = Some(agent.since.map_or(first, |since| since.min(first)));
            snapshot.agent = Observed::Known(agent);
        }
        if let Some(clients) = twins.clients {
            snapshot.clients = Observed::Known(clients);
        }
    }

    /// Gives each module the moment at which its present state was first seen, or began as IoT Hub says.
    fn dated(&mut self, modules: BTreeMap<String, ReportedModule>, now: Timestamp) -> BTreeMap<String, ModuleState> {
        self.modules.retain(|id, _| modules.contains_key(id));
        let dated = |(id, module): (String, ReportedModule)| {
            let first = self.modules.entry(id.clone()).or_insert_with(|| (module.clone(), now));
            if first.0 != module {
                *first = (module.clone(), now);
            }
            let ReportedModule { status, description, exit_code, since } = module;
            let since = since.map_or(first.1, |since| since.min(first.1));
            (id, ModuleState { status, description, exit_code, since })
        };
        modules.into_iter().map(dated).collect()
    }
}
