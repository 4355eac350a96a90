//! Judges each snapshot by the rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Channels;
use crate::evidence::Snapshot;
use crate::hub::message::{Standing, standing};
use crate::report::Report;
use crate::verbs;

/// A snapshot, what came of it, and how each module stands.
#[derive(Debug)]
pub struct Assessment {
    /// What was known.
    pub snapshot: Arc<Snapshot>,
    /// What came of it.
    pub report: Report,
    /// Every module that is written or seen, by its id.
    pub modules: Vec<(String, Standing)>,
}

pub(super) async fn run(mut channels: Channels) {
    let mut snapshots = channels.snapshot.subscribe();
    let mut settings = channels.settings.subscribe();
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = settings.changed() => if changed.is_err() { return },
            () = channels.stopped() => return,
        }
        let Some(snapshot) = snapshots.borrow_and_update().clone() else { continue };
        let report = verbs::check::check(&snapshot, &settings.borrow_and_update());
        let modules = ids(&snapshot).into_iter().map(|id| {
            let standing = standing(&id, &report, &snapshot);
            (id, standing)
        });
        let modules = modules.collect();
        channels.assessment.send_replace(Some(Arc::new(Assessment { snapshot, report, modules })));
    }
}

/// The modules that are written or seen. Bare createOptions name none.
fn ids(snapshot: &Snapshot) -> BTreeSet<String> {
    let written = snapshot.manifest.known().into_iter().filter(|manifest| manifest.agent().is_some());
    let written = written.flat_map(|manifest| manifest.modules().map(|module| module.id().to_owned()));
    let seen = snapshot.modules.known().into_iter().flat_map(|modules| modules.keys().cloned());
    written.chain(seen).collect()
}
