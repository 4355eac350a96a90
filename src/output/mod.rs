//! Results to bytes: the only place that knows output formats. Shows nothing that is secret.

pub mod json;
pub mod text;

use crate::evidence::Snapshot;
use crate::manifest::{Manifest, ManifestError};
use crate::report::{Report, Status, Summary};

/// One input and what came of it.
#[derive(Debug)]
pub struct Judged {
    /// The name of the input.
    pub name: String,
    /// What was judged.
    pub snapshot: Snapshot,
    /// What came of it.
    pub report: Report,
    /// Whether it passes as asked.
    pub status: Status,
}

/// One input that could not be judged.
#[derive(Debug)]
pub struct Rejected {
    /// The name of the input.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// Why an input could not be judged.
#[derive(Debug)]
pub enum Reason {
    /// It could not be read at all; the message names what was attempted.
    Unreadable(String),
    /// It was read, but is no manifest.
    Manifest(ManifestError),
}

/// Everything that one `check` has to say.
#[derive(Debug, Default)]
pub struct CheckResult {
    /// What was judged, in the order of the arguments.
    pub judged: Vec<Judged>,
    /// What could not be.
    pub rejected: Vec<Rejected>,
    /// What is to be said of the settings themselves, and whether they pass.
    pub settings: Option<(Report, Status)>,
}

impl Judged {
    /// The manifest, if one was given.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.snapshot.manifest.known()
    }
}

impl CheckResult {
    /// Counts of findings over all inputs.
    pub fn summary(&self) -> Summary {
        self.reports().map(Report::summary).fold(Summary::default(), Summary::and)
    }

    /// The worst status of what was judged.
    pub fn status(&self) -> Status {
        let of_settings = self.settings.iter().map(|(_, status)| *status);
        self.judged.iter().map(|judged| judged.status).chain(of_settings).max().unwrap_or(Status::Pass)
    }

    /// Every report.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.judged.iter().map(|judged| &judged.report).chain(self.settings.iter().map(|(report, _)| report))
    }
}
