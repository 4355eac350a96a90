//! Where evidence comes from: each source answers one kind of question, asynchronously, and knows no rules. Timeouts
//! are the collector's, so that a source that hangs harms nobody else.

pub mod nvml;

use std::collections::BTreeMap;
use std::pin::Pin;

use crate::evidence::{Gpu, GpuDriver, RuntimeStatus};
use crate::manifest::Manifest;

/// One source of evidence.
pub trait Source: Send + Sync {
    /// Its name in reports: `nvml`, `docker`.
    fn name(&self) -> &'static str;

    /// What it is asked.
    fn question(&self) -> Question;

    /// Looks once. An error is the reason why it could not, for people.
    fn look(&self) -> Look<'_>;
}

/// What a source can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How was the deployment written?
    Manifest,
    /// What runs?
    Modules,
    /// Which GPUs are there, and what do they do?
    Gpus,
}

/// A look in progress; `None` where there is nothing for the source to look at, which is no failure.
pub type Look<'a> = Pin<Box<dyn Future<Output = Result<Option<Sight>, String>> + Send + 'a>>;

/// What a source saw.
#[derive(Debug, Clone)]
pub enum Sight {
    /// The deployment as it was written.
    Manifest(Box<Manifest>),
    /// Every module as IoT Edge reports it, by its id.
    Modules(BTreeMap<String, ReportedModule>),
    /// The driver of the GPUs, and every GPU.
    Gpus(GpuDriver, Vec<Gpu>),
}

/// A module in the reported properties of `$edgeAgent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedModule {
    /// `runtimeStatus`
    pub status: RuntimeStatus,
    /// `statusDescription`
    pub description: String,
    /// `exitCode`
    pub exit_code: i64,
}
