//! Judges each snapshot by the rules, and says how everything stands once that has settled.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Channels;
use crate::evidence::Snapshot;
use crate::hub::message::{Module, modules};
use crate::report::{Report, Settling, Standings};
use crate::settings::Settings;
use crate::verbs;

/// A snapshot, what came of it, and how each module stands.
#[derive(Debug)]
pub struct Assessment {
    /// What was known.
    pub snapshot: Arc<Snapshot>,
    /// What was judged by.
    pub settings: Settings,
    /// What came of it.
    pub report: Report,
    /// How everything stands, settled over several looks.
    pub standings: Standings,
    /// Every module that is written or seen.
    pub modules: Vec<Module>,
}

pub(super) async fn run(mut channels: Channels) {
    let mut snapshots = channels.snapshot.subscribe();
    let mut desired = channels.desired.subscribe();
    let mut settling = Settling::default();
    snapshots.mark_changed();
    loop {
        // Other settings are another judge.
        let mut anew = false;
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() { return },
            changed = desired.changed() => {
                if changed.is_err() {
                    return;
                }
                anew = true;
            }
            () = channels.stopped() => return,
        }
        let Some(snapshot) = snapshots.borrow_and_update().clone() else { continue };
        anew |= desired.has_changed().unwrap_or(false);
        desired.mark_unchanged();
        let settings = channels.settings();
        let report = verbs::check::check(&snapshot, &settings);
        let pace = SignedDuration::try_from(settings.intervals.collect()).unwrap_or(SignedDuration::MAX);
        let standings = settling.look(&report, snapshot.taken_at, pace, anew);
        let modules = modules(&standings, &snapshot);
        let assessment = Assessment { snapshot, settings, report, standings, modules };
        channels.assessment.send_replace(Some(Arc::new(assessment)));
    }
}
