//! Asks every source at the interval of the settings and joins the answers into a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Channels, Clock};
use crate::evidence::{ModuleState, Observed, Snapshot, Why};
use crate::sources::{Question, ReportedModule, Sight, Source};

/// How long one look may take. Nothing that a source asks is slow on a healthy device.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(sources: Arc<[Arc<dyn Source>]>, clock: Clock, mut channels: Channels) {
    let mut since = BTreeMap::new();
    let mut refresh = channels.refresh.subscribe();
    let mut desired = channels.desired.subscribe();
    loop {
        refresh.mark_unchanged();
        desired.mark_unchanged();
        let sights = look(&sources).await;
        let snapshot = join(sights, clock.now(), &mut since);
        channels.snapshot.send_replace(Some(Arc::new(snapshot)));
        // A little longer or shorter, so that devices that started together part.
        let interval = channels.settings().intervals.collect().mul_f64(0.95 + 0.1 * chance(clock.now()));
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = refresh.changed() => {}
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

/// One look of every source at once; each is done after [`TIMEOUT`] at the latest.
async fn look(sources: &[Arc<dyn Source>]) -> Vec<(Question, Result<Option<Sight>, String>)> {
    let mut looks = tokio::task::JoinSet::new();
    for (i, source) in sources.iter().enumerate() {
        let source = Arc::clone(source);
        looks.spawn(async move {
            let seen = tokio::time::timeout(TIMEOUT, source.look()).await;
            (i, seen.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs()))))
        });
    }
    let mut seen: Vec<Result<Option<Sight>, String>> =
        sources.iter().map(|_| Err("the source panicked, a fault of ours".to_owned())).collect();
    while let Some(look) = looks.join_next().await {
        if let Ok((i, sight)) = look {
            seen[i] = sight;
        }
    }
    let named = |(source, sight): (&Arc<dyn Source>, Result<Option<Sight>, String>)| {
        (source.question(), sight.map_err(|why| format!("{}: {why}", source.name())))
    };
    sources.iter().zip(seen).map(named).collect()
}

/// Joins what was seen. `since` remembers when each module was first seen in the state that it is in.
fn join(
    sights: Vec<(Question, Result<Option<Sight>, String>)>,
    now: Timestamp,
    since: &mut BTreeMap<String, (ReportedModule, Timestamp)>,
) -> Snapshot {
    let mut snapshot = Snapshot::empty(now);
    for (question, sight) in sights {
        match (question, sight) {
            (_, Ok(None)) => {}
            (_, Ok(Some(Sight::Manifest(manifest)))) => snapshot.manifest = Observed::Known(*manifest),
            (_, Ok(Some(Sight::Gpus(driver, gpus)))) => snapshot.see_gpus(driver, gpus),
            (_, Ok(Some(Sight::Modules(modules)))) => snapshot.modules = Observed::Known(dated(modules, now, since)),
            (Question::Manifest, Err(why)) => snapshot.manifest = Observed::Unknown(Why::failed(why)),
            (Question::Modules, Err(why)) => snapshot.modules = Observed::Unknown(Why::failed(why)),
            (Question::Gpus, Err(why)) => snapshot.gpus = Observed::Unknown(Why::failed(why)),
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
