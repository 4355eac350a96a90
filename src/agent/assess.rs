//! Judges each snapshot by the rules.

use std::sync::Arc;

use super::Channels;
use crate::evidence::Snapshot;
use crate::hub::message::{Module, modules};
use crate::report::Report;
use crate::verbs;

/// A snapshot, what came of it, and how each module stands.
#[derive(Debug)]
pub struct Assessment {
    /// What was known.
    pub snapshot: Arc<Snapshot>,
    /// What came of it.
    pub report: Report,
    /// Every module that is written or seen.
    pub modules: Vec<Module>,
}

pub(super) async fn run(mut channels: Channels) {
    let mut snapshots = channels.snapshot.subscribe();
    let mut settings = channels.desired.subscribe();
    snapshots.mark_changed();
    loop {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = settings.changed() => if changed.is_err() { return },
            () = channels.stopped() => return,
        }
        let Some(snapshot) = snapshots.borrow_and_update().clone() else { continue };
        settings.mark_unchanged();
        let settings = channels.settings();
        let report = verbs::check::check(&snapshot, &settings);
        let modules = modules(&report, &snapshot);
        channels.assessment.send_replace(Some(Arc::new(Assessment { snapshot, report, modules })));
    }
}
