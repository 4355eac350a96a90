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

pub(super) async fn run(sources: Vec<Arc<dyn Source>>, clock: Clock, mut channels: Channels) {
    let mut since = BTreeMap::new();
    loop {
        let sights = look(&sources).await;
        let snapshot = join(sights, clock.now(), &mut since);
        channels.snapshot.send_replace(Some(Arc::new(snapshot)));
        let interval = channels.settings.borrow().intervals.collect();
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = channels.stopped() => return,
        }
    }
}

/// One look of every source at once; each is done after [`TIMEOUT`] at the latest.
async fn look(sources: &[Arc<dyn Source>]) -> Vec<(Question, Result<Sight, String>)> {
    let mut looks = tokio::task::JoinSet::new();
    for (i, source) in sources.iter().enumerate() {
        let source = Arc::clone(source);
        looks.spawn(async move {
            let seen = tokio::time::timeout(TIMEOUT, source.look()).await;
            (i, seen.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs()))))
        });
    }
    let mut seen: Vec<Result<Sight, String>> =
        sources.iter().map(|_| Err("the source panicked, a fault of ours".to_owned())).collect();
    while let Some(look) = looks.join_next().await {
        if let Ok((i, sight)) = look {
            seen[i] = sight;
        }
    }
    let named = |(source, sight): (&Arc<dyn Source>, Result<Sight, String>)| {
        (source.question(), sight.map_err(|why| format!("{}: {why}", source.name())))
    };
    sources.iter().zip(seen).map(named).collect()
}

/// Joins what was seen. `since` remembers when each module was first seen in the state that it is in.
fn join(
    sights: Vec<(Question, Result<Sight, String>)>,
    now: Timestamp,
    since: &mut BTreeMap<String, (ReportedModule, Timestamp)>,
) -> Snapshot {
    let mut snapshot = Snapshot::empty(now);
    for (question, sight) in sights {
        match (question, sight) {
            (_, Ok(Sight::Manifest(manifest))) => snapshot.manifest = Observed::Known(*manifest),
            (_, Ok(Sight::Gpus(gpus))) => snapshot.gpus = Observed::Known(gpus),
            (_, Ok(Sight::Modules(modules))) => snapshot.modules = Observed::Known(dated(modules, now, since)),
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
