//! Asks every source at the interval of the settings and joins the answers into a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Channels, Clock};
use crate::evidence::{ModuleState, Observed, Snapshot, SourceLine, Why};
use crate::sources::{Question, ReportedModule, Sight, Source};

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
    join(seen, clock.now(), &mut BTreeMap::new())
}

pub(super) async fn run(sources: Arc<[Arc<dyn Source>]>, clock: Clock, mut channels: Channels) {
    let mut since = BTreeMap::new();
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
        let seen = look(&sources, clock).await;
        let snapshot = join(seen, clock.now(), &mut since);
        for source in sources.iter() {
            source.learn(&snapshot);
        }
        channels.snapshot.send_replace(Some(Arc::new(snapshot)));
        // A little longer or shorter, so that devices that started together part.
        let interval = channels.settings().intervals.collect().mul_f64(0.95 + 0.1 * chance(clock.now()));
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

/// A number from 0 to 1 that nobody can tell beforehand well enough to matter.
fn chance(now: Timestamp) -> f64 {
    f64::from(now.subsec_nanosecond().unsigned_abs()) / 1e9
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

/// Joins what was seen. `since` remembers when each module was first seen in the state that it is in.
fn join(seen: Vec<Seen>, now: Timestamp, since: &mut BTreeMap<String, (ReportedModule, Timestamp)>) -> Snapshot {
    let mut snapshot = Snapshot::empty(now);
    for Seen { question, sight, line } in seen {
        snapshot.sources.push(line);
        match (question, sight) {
            (_, Ok(None)) => {}
            (_, Ok(Some(Sight::Manifest(manifest)))) => snapshot.manifest = Observed::Known(*manifest),
            (_, Ok(Some(Sight::Gpus(driver, gpus)))) => snapshot.see_gpus(driver, gpus),
            (_, Ok(Some(Sight::Modules(modules)))) => snapshot.modules = Observed::Known(dated(modules, now, since)),
            (_, Ok(Some(Sight::Siblings(siblings)))) => snapshot.siblings = Observed::Known(siblings),
            (_, Ok(Some(Sight::Engine(engine)))) => snapshot.engine = Observed::Known(*engine),
            (_, Ok(Some(Sight::Process(process)))) => snapshot.process = Observed::Known(*process),
            (_, Ok(Some(Sight::Grants(grants)))) => snapshot.grants = Observed::Known(*grants),
            (_, Ok(Some(Sight::Network(network)))) => snapshot.network = Observed::Known(*network),
            (Question::Manifest, Err(why)) => snapshot.manifest = Observed::Unknown(Why::failed(why)),
            (Question::Modules, Err(why)) => snapshot.modules = Observed::Unknown(Why::failed(why)),
            (Question::Siblings, Err(why)) => snapshot.siblings = Observed::Unknown(Why::failed(why)),
            (Question::Engine, Err(why)) => snapshot.engine = Observed::Unknown(Why::failed(why)),
            (Question::Process, Err(why)) => snapshot.process = Observed::Unknown(Why::failed(why)),
            (Question::Network, Err(why)) => snapshot.network = Observed::Unknown(Why::failed(why)),
            (Question::Gpus, Err(why)) => snapshot.gpus = Observed::Unknown(Why::failed(why)),
            (Question::Grants, Err(why)) => snapshot.grants = Observed::Unknown(Why::failed(why)),
        }
    }
    snapshot
}

/// Gives each module the moment at which its present state was first seen.
fn dated(
    modules: BTreeMap<String, ReportedModule>,
    now: Timestamp,
    since: &mut BTreeMap<String, (ReportedModule, Timestamp)>,
) -> BTreeMap<String, ModuleState> {
    since.retain(|id, _| modules.contains_key(id));
    let dated = |(id, module): (String, ReportedModule)| {
        let first = since.entry(id.clone()).or_insert_with(|| (module.clone(), now));
        if first.0 != module {
            *first = (module.clone(), now);
        }
        let ReportedModule { status, description, exit_code } = module;
        (id, ModuleState { status, description, exit_code, since: first.1 })
    };
    modules.into_iter().map(dated).collect()
}
