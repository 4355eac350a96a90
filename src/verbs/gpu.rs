//! `gpu`: what the GPUs do and how they are.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::engine::{self, Check, Rule};
use crate::evidence::Snapshot;
use crate::report::Report;
use crate::rules;
use crate::settings::Settings;

/// What `gpu` is asked for.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GpuArgs {
    /// How many GPUs there are to be: fewer are a finding
    #[arg(long, value_name = "NUMBER")]
    pub expect: Option<u32>,
}

/// Judges what was seen of the GPUs.
pub fn gpu(args: &GpuArgs, snapshot: &Snapshot, settings: &Settings) -> Report {
    let mut settings = settings.clone();
    settings.site.gpus = args.expect.or(settings.site.gpus);
    let about_gpus = |rule: &&Rule| matches!(rule.check, Check::Gpu(_) | Check::GpuDriver(_) | Check::ModuleGpus(_));
    let rules: Vec<&'static Rule> = rules::ALL.iter().copied().filter(|rule| about_gpus(rule)).collect();
    engine::evaluate(snapshot, &settings, &rules)
}
