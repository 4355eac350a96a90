//! The report for people: a frame for each finding, then what could not be evaluated, then one line.

mod frame;
mod gpu;
mod pages;
mod patch;

use std::fmt::Write;

use annotate_snippets::Renderer;

use super::{CheckResult, Judged, Reason, Rejected, words};
use crate::manifest::ManifestError;

pub use gpu::{driver_line, gpu};
pub(super) use pages::first_paragraph;
pub use pages::{page, table};

/// How the text is to look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns of the terminal; source lines are cut to fit.
    pub width: usize,
}

impl Style {
    fn renderer(self) -> Renderer {
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        renderer.term_width(self.width)
    }
}

/// The report of a `check`.
pub fn check(result: &CheckResult, style: Style) -> String {
    let mut out = String::new();
    for judged in &result.judged {
        out.push_str(&frame::findings(judged, style));
    }
    if let Some(settings) = &result.settings {
        out.push_str(&frame::without_document(&settings.report, style));
    }
    for source in words::sources(result) {
        let _ = writeln!(out, "{source}");
    }
    for waiting in words::waiting(result) {
        let _ = writeln!(out, "{waiting}");
    }
    for broken in words::broken(result) {
        let _ = writeln!(out, "broken: {broken}");
    }
    let _ = writeln!(out, "{}", words::summary_line(result));
    out
}

/// One input that could not be judged, with the place where that shows.
pub fn rejected(rejected: &Rejected, style: Style) -> String {
    match &rejected.reason {
        Reason::Unreadable(message) => format!("error: {message}\n"),
        Reason::Manifest(ManifestError::Syntax { document, error }) => frame::syntax(document, error, style),
        Reason::Manifest(error) => format!("error: {error}\n"),
    }
}
