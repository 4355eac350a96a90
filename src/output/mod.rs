//! Results to bytes: the only place that knows output formats. Shows nothing that is secret.

pub mod github;
pub mod json;
pub mod junit;
pub mod markdown;
mod place;
pub mod render;
pub mod rule_docs;
pub mod sarif;
pub mod status;
pub mod text;
mod words;

use place::Place;

use crate::evidence::Snapshot;
use crate::finding::Finding;
use crate::manifest::{Manifest, ManifestError};
use crate::report::{Evaluation, Report, Status, Summary};
use crate::settings::Settings;
use crate::text::{Position, Span};
use crate::verbs::check::{CheckArgs, check};

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

impl Judged {
    /// Judges an input.
    pub fn of(name: String, snapshot: Snapshot, settings: &Settings, args: &CheckArgs) -> Self {
        let report = check(&snapshot, settings);
        let status = args.verdict(&report);
        Self { name, snapshot, report, status }
    }

    /// Judges a device, under the name of its deployment where it has one.
    pub fn of_device(snapshot: Snapshot, settings: &Settings, args: &CheckArgs) -> Self {
        let deployment = snapshot.manifest.known().map(|manifest| manifest.document().source().name().to_owned());
        Self::of(deployment.unwrap_or_else(|| "device".to_owned()), snapshot, settings, args)
    }
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
    /// What is to be said of the settings themselves.
    pub settings: Option<JudgedSettings>,
}

/// The settings and what came of them.
#[derive(Debug)]
pub struct JudgedSettings {
    /// The name of the file.
    pub name: String,
    /// What came of it.
    pub report: Report,
    /// Whether it passes as asked.
    pub status: Status,
}

/// What keeps an input from being judged, for people.
struct Problem {
    message: String,
    /// Where in the text, if it was read that far.
    place: Option<Position>,
    help: Option<String>,
}

impl Judged {
    /// The manifest, if one was given.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.snapshot.manifest.known()
    }

    /// Every finding in the order of the file, the worst first where several start at one place.
    fn findings(&self) -> Vec<(&Evaluation, &Finding)> {
        let mut found: Vec<(&Evaluation, &Finding)> = self.report.findings().collect();
        if let Some(document) = self.manifest().map(Manifest::document) {
            let start =
                |finding: &Finding| finding.at.and_then(|at| document.ranges(at).first().map(|range| range.start));
            found.sort_by_cached_key(|(_, finding)| (start(finding), std::cmp::Reverse(finding.severity.rank())));
        }
        found
    }

    /// Where in the file `at` is; none where no file was judged.
    fn place(&self, at: Span) -> Option<Place> {
        self.manifest().map(|manifest| Place::of(manifest.document(), at))
    }
}

impl Rejected {
    fn problem(&self) -> Problem {
        match &self.reason {
            Reason::Manifest(ManifestError::Syntax { document, error }) => Problem {
                message: error.message.clone(),
                place: error.at.first().map(|range| document.position(range.start)),
                help: error.help.clone(),
            },
            Reason::Manifest(error) => Problem { message: error.to_string(), place: None, help: None },
            Reason::Unreadable(message) => Problem { message: message.clone(), place: None, help: None },
        }
    }
}

impl CheckResult {
    /// Counts of findings over all inputs.
    pub fn summary(&self) -> Summary {
        self.reports().map(Report::summary).fold(Summary::default(), Summary::and)
    }

    /// The worst status of what was judged; what could not be judged did not pass.
    pub fn status(&self) -> Status {
        let of_settings = self.settings.iter().map(|settings| settings.status);
        let of_rejected = self.rejected.first().map(|_| Status::Unknown);
        let all = self.judged.iter().map(|judged| judged.status).chain(of_settings).chain(of_rejected);
        all.max().unwrap_or(Status::Pass)
    }

    /// Every report.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.judged.iter().map(|judged| &judged.report).chain(self.settings.iter().map(|settings| &settings.report))
    }
}
