//! What an evaluation came to: an [`Outcome`] for every rule and subject, so that "could not check" is never "passed".

mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

pub use settled::{Settled, Settling, Standings};

use crate::evidence::Why;
use crate::finding::{Finding, Level, Safety, Severity};
use crate::target::Target;

/// What an outcome is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The deployment as a whole.
    Deployment,
    /// One module, by its id.
    Module(Arc<str>),
    /// One GPU, by its UUID.
    Gpu(Arc<str>),
}

impl Subject {
    /// The module's id, if it is about one.
    pub fn module(&self) -> Option<&str> {
        match self {
            Subject::Module(id) => Some(id),
            Subject::Deployment | Subject::Gpu(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Deployment => f.write_str("deployment"),
            Subject::Module(id) => write!(f, "module {id}"),
            Subject::Gpu(uuid) => write!(f, "GPU {uuid}"),
        }
    }
}

/// How one rule ended for one subject. Kept small: there is one for every rule and module.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// There was something to judge, and it is well.
    Pass,
    /// It is not well; never empty.
    Fail(Vec<Finding>),
    /// The rule has nothing to say here: another platform, nothing of its kind.
    NotApplicable,
    /// What the rule needs is not known.
    NotEvaluated(Box<Why>),
    /// It is not well, and somebody said that they know.
    Suppressed(Box<Suppressed>),
    /// The rule panicked: a fault of ours, reported as such.
    Broken(Box<str>),
}

impl Outcome {
    /// What the rule needs is not known, because of `why`.
    pub fn not_evaluated(why: Why) -> Self {
        Outcome::NotEvaluated(Box::new(why))
    }
}

/// Findings that somebody accepted.
#[derive(Debug, Clone)]
pub struct Suppressed {
    /// Why.
    pub reason: String,
    /// Until which day, `yyyy-mm-dd`.
    pub until: Option<String>,
    /// What is hidden.
    pub hidden: Vec<Finding>,
}

/// One line of the ledger.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The rule's id.
    pub rule: &'static str,
    /// The rows of the catalogue that it covers.
    pub codes: &'static [&'static str],
    /// The severity that the rule declares; a finding may carry another one.
    pub severity: Severity,
    /// What it was about.
    pub subject: Subject,
    /// What kind of evidence it rests on.
    pub level: Level,
    /// How it ended.
    pub outcome: Outcome,
}

/// Every evaluation of one snapshot, in the order of the rules and, within a rule, of the document.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it was judged for.
    pub target: Target,
    /// The ledger.
    pub evaluations: Vec<Evaluation>,
    /// The suppressions that hid something, by their place in the settings.
    pub suppressions_used: BTreeSet<usize>,
}

/// How many evaluations ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ledger {
    /// Passed.
    pub passed: usize,
    /// Failed: at least one finding, of whatever severity.
    pub failed: usize,
    /// Nothing for the rule to look at.
    pub not_applicable: usize,
    /// What the rule needs was not known.
    pub not_evaluated: usize,
    /// Failed, and somebody accepted it.
    pub suppressed: usize,
    /// The rule broke: a fault of EdgeShift.
    pub broken: usize,
}

/// How many findings there are of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Findings of severity block.
    pub block: usize,
    /// Findings of severity silent.
    pub silent: usize,
    /// Findings of severity warn.
    pub warn: usize,
    /// Findings of severity info.
    pub info: usize,
    /// Findings with a fix that may be applied without asking.
    pub fixable: usize,
}

/// The answer to "is it well?" at a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing at or above the threshold.
    Pass,
    /// Nothing failed, but something that was required could not be judged, or a rule broke.
    Unknown,
    /// A finding at or above the threshold.
    Fail,
}

/// How a module, or all of them, stands on the way to the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing worse than info.
    #[default]
    Ready,
    /// Something required could not be judged.
    Unknown,
    /// A warning, or something silently wrong.
    Degraded,
    /// Something that keeps it from coming up.
    Blocked,
}

/// How a subject stands, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its health.
    pub health: Health,
    /// The rule that decides it; none where all is well.
    pub rule: Option<&'static str>,
}

impl Standing {
    /// Of what nothing was judged.
    pub const UNJUDGED: Self = Self { health: Health::Unknown, rule: None };
}

impl Health {
    /// The word in reports and twins.
    pub fn word(self) -> &'static str {
        match self {
            Health::Ready => "ready",
            Health::Unknown => "unknown",
            Health::Degraded => "degraded",
            Health::Blocked => "blocked",
        }
    }
}

impl Report {
    /// Every finding with its evaluation, in the order of the ledger.
    pub fn findings(&self) -> impl Iterator<Item = (&Evaluation, &Finding)> {
        self.evaluations.iter().flat_map(|evaluation| evaluation.findings().iter().map(move |f| (evaluation, f)))
    }

    /// Counts of findings.
    pub fn summary(&self) -> Summary {
        self.findings().fold(Summary::default(), |summary, (_, finding)| summary.and(Summary::of(finding)))
    }

    /// Counts of outcomes.
    pub fn ledger(&self) -> Ledger {
        self.evaluations.iter().fold(Ledger::default(), |mut ledger, evaluation| {
            match evaluation.outcome {
                Outcome::Pass => ledger.passed += 1,
                Outcome::Fail(_) => ledger.failed += 1,
                Outcome::NotApplicable => ledger.not_applicable += 1,
                Outcome::NotEvaluated(_) => ledger.not_evaluated += 1,
                Outcome::Suppressed(_) => ledger.suppressed += 1,
                Outcome::Broken(_) => ledger.broken += 1,
            }
            ledger
        })
    }

    /// Whether the report passes at `threshold`. What nobody was asked for is not required.
    pub fn status(&self, threshold: Severity) -> Status {
        let status = |evaluation: &Evaluation| match &evaluation.outcome {
            Outcome::Fail(findings) if findings.iter().any(|f| f.severity.rank() >= threshold.rank()) => Status::Fail,
            Outcome::NotEvaluated(why) if why.expected && evaluation.severity.rank() >= threshold.rank() => {
                Status::Unknown
            }
            Outcome::Broken(_) => Status::Unknown,
            _ => Status::Pass,
        };
        self.evaluations.iter().map(status).max().unwrap_or(Status::Pass)
    }

    /// How each subject stands, with the rule that decides it; [`Standing::default`] for one that is not in it.
    pub fn standings(&self) -> BTreeMap<&Subject, Standing> {
        let mut standings: BTreeMap<&Subject, Standing> = BTreeMap::new();
        for evaluation in &self.evaluations {
            let standing = standings.entry(&evaluation.subject).or_default();
            let health = evaluation.health();
            if health > standing.health {
                *standing = Standing { health, rule: Some(evaluation.rule) };
            }
        }
        standings
    }

    /// How the worst subject stands.
    pub fn overall_health(&self) -> Health {
        self.evaluations.iter().map(Evaluation::health).max().unwrap_or(Health::Ready)
    }
}

impl Evaluation {
    /// The findings, if it failed.
    pub fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Outcome::Fail(findings) => findings,
            _ => &[],
        }
    }

    fn health(&self) -> Health {
        let of_finding = |finding: &Finding| match (finding.severity, finding.when) {
            (Severity::Block, None) => Health::Blocked,
            (Severity::Block, Some(_)) | (Severity::Silent | Severity::Warn, _) => Health::Degraded,
            (Severity::Info, _) => Health::Ready,
        };
        match &self.outcome {
            Outcome::Fail(findings) => findings.iter().map(of_finding).max().unwrap_or(Health::Ready),
            Outcome::NotEvaluated(why) if why.expected => Health::Unknown,
            Outcome::Broken(_) => Health::Unknown,
            _ => Health::Ready,
        }
    }
}

impl Summary {
    fn of(finding: &Finding) -> Self {
        let one = |severity| usize::from(finding.severity == severity);
        let fixable = finding.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe);
        Self {
            block: one(Severity::Block),
            silent: one(Severity::Silent),
            warn: one(Severity::Warn),
            info: one(Severity::Info),
            fixable: usize::from(fixable),
        }
    }

    /// The counts of both.
    #[must_use]
    pub fn and(self, other: Summary) -> Summary {
        Summary {
            block: self.block + other.block,
            silent: self.silent + other.silent,
            warn: self.warn + other.warn,
            info: self.info + other.info,
            fixable: self.fixable + other.fixable,
        }
    }
}
