//! `check`: judge a deployment for a target.

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine;
use crate::evidence::Snapshot;
use crate::finding::Severity;
use crate::report::{Report, Status};
use crate::rules;
use crate::settings::{SettingError, Settings};
use crate::target::{Agent, Target};

/// What `check` can be told.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckArgs {
    /// Where the deployment is to run: ase-k8s or ase-vm, with @yymm for the device software
    #[arg(long, value_name = "TARGET")]
    pub target: Option<Target>,

    /// The IoT Edge agent on Kubernetes, beta3 to beta15; beta13 where nothing says otherwise
    #[arg(long, value_name = "BETA")]
    pub agent: Option<Agent>,

    /// The least severity that fails; block and silent rank equal
    #[arg(long, value_name = "SEVERITY", default_value = "silent")]
    pub fail_on: Severity,

    /// Pass although something required could not be evaluated
    #[arg(long)]
    pub allow_unknown: bool,

    /// A fact about the site: gpus=1, shares=input,output, software=2103 …; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub site: Vec<String>,
}

impl Default for CheckArgs {
    fn default() -> Self {
        Self { target: None, agent: None, fail_on: Severity::Silent, allow_unknown: false, site: Vec::new() }
    }
}

impl CheckArgs {
    /// `base` with what these arguments say laid over it.
    ///
    /// # Errors
    /// A site fact is unknown or has a value that does not fit.
    pub fn settings(&self, base: &Settings) -> Result<Settings, SettingError> {
        let mut settings = base.clone();
        settings.agent = self.agent.unwrap_or(settings.agent);
        self.site.iter().try_for_each(|assignment| settings.site.set(assignment))?;
        if let Some(target) = self.target {
            settings.target = target;
        }
        settings.target.software = settings.target.software.or(settings.site.software);
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

/// Judges the suppressions of `settings` by what they did in `reports`.
pub fn check_settings(settings: &Settings, reports: &[&Report], now: Timestamp) -> Report {
    engine::evaluate_settings(settings, reports, now, rules::ALL)
}
