//! `check`: judge a deployment for a target.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::engine;
use crate::evidence::Snapshot;
use crate::finding::Severity;
use crate::report::{Report, Status};
use crate::rules;
use crate::settings::{SettingError, Settings};
use crate::target::Target;

/// What `check` can be told.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckArgs {
    /// Where the deployment is to run: ase-k8s or ase-vm, with @yymm for the device software
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,

    /// The least severity that fails; block and silent rank equal
    #[arg(long, value_name = "SEVERITY", default_value = "silent")]
    pub fail_on: Severity,

    /// Pass although something required could not be evaluated
    #[arg(long)]
    pub allow_unknown: bool,

    /// A fact about the site: gpus=1, shares=input,output, `external_ips=4`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub site: Vec<String>,
}

impl Default for CheckArgs {
    fn default() -> Self {
        Self { target: None, fail_on: Severity::Silent, allow_unknown: false, site: Vec::new() }
    }
}

impl CheckArgs {
    /// `base` with what these arguments say laid over it.
    ///
    /// # Errors
    /// A site fact is unknown or has a value that does not fit.
    pub fn settings(&self, base: &Settings) -> Result<Settings, SettingError> {
        let mut settings = base.clone();
        settings.target = self.target.unwrap_or(settings.target);
        self.site.iter().try_for_each(|assignment| settings.site.set(assignment))?;
        Ok(settings)
    }

    /// Whether `report` passes as these arguments ask.
    pub fn verdict(&self, report: &Report) -> Status {
        match report.status(self.fail_on) {
            Status::Unknown if self.allow_unknown => Status::Pass,
            status => status,
        }
    }
}

/// Judges `snapshot` by every rule.
pub fn check(snapshot: &Snapshot, settings: &Settings) -> Report {
    engine::evaluate(snapshot, settings, rules::ALL)
}
