//! What a rule says about one place: the vocabulary of results. A finding is never an error and an error is never
//! a finding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Document, Edit, Path, Span};

/// How bad a finding is. `block` and `silent` rank equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works as it is, or worth knowing.
    Info,
    /// Works until an update, a restart or load.
    Warn,
    /// Comes up "running" but does the wrong thing: nothing is red.
    Silent,
    /// The module, or the whole deployment, does not come up.
    Block,
}

impl Severity {
    /// All of them, worst first, in the order of reports.
    pub const ALL: [Severity; 4] = [Severity::Block, Severity::Silent, Severity::Warn, Severity::Info];

    /// How much it weighs: 0 for info, 1 for warn, 2 for silent and block alike.
    pub fn rank(self) -> u8 {
        match self {
            Severity::Info => 0,
            Severity::Warn => 1,
            Severity::Silent | Severity::Block => 2,
        }
    }

    /// The word that users read and write: `info`, `warn`, `silent`, `block`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Silent => "silent",
            Severity::Block => "block",
        }
    }
}

/// When a finding bites, where that is not at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// At the next change of the deployment: the module that runs now goes on until then.
    Update,
}

/// What kind of evidence a finding rests on (`ARCHITECTURE.md`, evidence levels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum Level {
    /// What the module sees without any right of its own.
    L0,
    /// A manifest or twin that was handed over.
    L1,
    /// Rights given on purpose: Docker socket, Kubernetes role, IoT Hub credential.
    L2,
}

/// One thing that one rule found at one place.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How bad it is here; rules may judge milder or harder than their declared severity, case by case.
    pub severity: Severity,
    /// The rows of the catalogue that it is about, where those are not all of the rule's.
    pub codes: Option<&'static [&'static str]>,
    /// When it bites, if not at once.
    pub when: Option<When>,
    /// What is wrong, one line, with the names of this place.
    pub message: String,
    /// Why that matters, a sentence or two.
    pub reason: String,
    /// The bytes to look at; `None` for a finding about something that was observed, not written.
    pub at: Option<Span>,
    /// What the place is, said beside the underlined bytes.
    pub label: String,
    /// Other places that belong to it.
    pub related: Vec<Related>,
    /// The way out, where one can be written down.
    pub fix: Option<Fix>,
}

/// A second place of a [`Finding`].
#[derive(Debug, Clone)]
pub struct Related {
    /// The bytes to look at.
    pub at: Span,
    /// What is there.
    pub label: String,
}

/// Whether a fix may be applied without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Safety {
    /// May be applied by a machine.
    Safe,
    /// Needs a person's word: it adds rights, needs a name, or means a choice.
    Ask,
    /// There is nothing to apply.
    None,
}

impl Safety {
    /// The word that users read: `safe`, `ask`, `none`.
    pub fn word(self) -> &'static str {
        match self {
            Safety::Safe => "safe",
            Safety::Ask => "ask",
            Safety::None => "none",
        }
    }
}

/// A change of the document that removes a finding.
#[derive(Debug, Clone)]
pub struct Fix {
    /// What the change does, as an order: `mount the share as a volume`.
    pub title: String,
    /// Whether it may be applied without asking.
    pub safety: Safety,
    /// The changes. Empty where only words can help.
    pub edits: Vec<Edit>,
}

impl Finding {
    /// A finding of `severity` with its one line; everything else is added by the methods below.
    pub fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            codes: None,
            when: None,
            message: message.into(),
            reason: String::new(),
            at: None,
            label: String::new(),
            related: Vec::new(),
            fix: None,
        }
    }

    /// Points at `span`, and says there what it is.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.at = Some(span);
        self.label = label.into();
        self
    }

    /// Says why it matters.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Narrows the rows of the catalogue that it is about.
    #[must_use]
    pub fn of(mut self, codes: &'static [&'static str]) -> Self {
        self.codes = Some(codes);
        self
    }

    /// Says that it bites later.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = Some(when);
        self
    }

    /// Points at a second place.
    #[must_use]
    pub fn related(mut self, at: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { at, label: label.into() });
        self
    }

    /// Offers a way out.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// Whether it points at bytes of `span`, with its own place or one that belongs to it.
    pub(crate) fn points_at(&self, span: Span, document: &Document) -> bool {
        let wanted = document.ranges(span);
        let meets = |own: Span| {
            let own = document.ranges(own);
            own.iter().any(|own| wanted.iter().any(|wanted| own.start < wanted.end && wanted.start < own.end))
        };
        self.at.is_some_and(meets) || self.related.iter().any(|related| meets(related.at))
    }
}

impl Fix {
    /// A change that a machine may apply.
    pub fn safe(title: impl Into<String>) -> Self {
        Self { title: title.into(), safety: Safety::Safe, edits: Vec::new() }
    }

    /// A change that needs a person's word.
    pub fn ask(title: impl Into<String>) -> Self {
        Self { title: title.into(), safety: Safety::Ask, edits: Vec::new() }
    }

    /// Words only: what a person has to do elsewhere.
    pub fn advice(title: impl Into<String>) -> Self {
        Self { title: title.into(), safety: Safety::None, edits: Vec::new() }
    }

    /// Puts `value` at `path`.
    #[must_use]
    pub fn set(mut self, path: Path, value: impl Into<serde_json::Value>) -> Self {
        self.edits.push(Edit::Set { path, value: value.into() });
        self
    }

    /// Adds `value` to the array at `path`.
    #[must_use]
    pub fn append(mut self, path: Path, value: impl Into<serde_json::Value>) -> Self {
        self.edits.push(Edit::Append { path, value: value.into() });
        self
    }

    /// Removes what is at `path`.
    #[must_use]
    pub fn remove(mut self, path: Path) -> Self {
        self.edits.push(Edit::Remove { path });
        self
    }

    /// Puts `with` in place of `range` of the string at `path`, and keeps the rest of it out of the edit.
    #[must_use]
    pub fn replace(mut self, path: Path, range: std::ops::Range<usize>, with: impl Into<String>) -> Self {
        self.edits.push(Edit::Replace { path, range, with: with.into() });
        self
    }

    /// Gives the member at `path` another key.
    #[must_use]
    pub fn rename(mut self, path: Path, key: impl Into<String>) -> Self {
        self.edits.push(Edit::Rename { path, key: key.into() });
        self
    }
}
