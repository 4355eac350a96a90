//! What a user knows and wants: target, facts about the site, and the module's own intervals. One type, whether it
//! comes from flags or from the desired properties of the module twin.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::target::Target;

/// All settings. Every one has a default, so `{}` is valid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the deployment is to run.
    pub target: Target,
    /// What the operator knows about the device and that no manifest shows.
    pub site: Site,
    /// How often the module looks and reports.
    pub intervals: Intervals,
}

/// Facts about the site. What is not given stays unknown, and what depends on it is "not evaluated".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Names of the SMB and NFS shares that were made with "Use the share with Edge compute".
    pub shares: Option<BTreeSet<String>>,
    /// GPUs that Kubernetes (or the VM) may use.
    pub gpus: Option<u32>,
    /// How many addresses the "Kubernetes external service IPs" range has.
    pub external_ips: Option<u32>,
}

/// Intervals of the long-lived module, in seconds. The defaults follow `iothub-limits.md` §1.5: report on change
/// only and not more often than every 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Intervals {
    /// Seconds between two looks at each source.
    pub collect: f64,
    /// Seconds at least between two reported-property patches.
    pub publish: f64,
    /// Seconds between two telemetry summaries.
    pub summary: f64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { collect: 15.0, publish: 10.0, summary: 300.0 }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Error)]
#[error("setting {key}: {problem}")]
pub struct SettingError {
    /// Which one, dotted.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Settings {
    /// Reads settings out of JSON (the desired properties of the module twin, without `$version` and `$metadata`).
    ///
    /// # Errors
    /// A key is unknown, a value has the wrong type or is out of range.
    pub fn from_json(value: serde_json::Value) -> Result<Self, SettingError> {
        let settings: Self = serde_json::from_value(value)
            .map_err(|error| SettingError { key: "(desired properties)".to_owned(), problem: error.to_string() })?;
        settings.intervals.validate()?;
        Ok(settings)
    }
}

impl Site {
    /// Takes one `KEY=VALUE` as it is written on the command line.
    ///
    /// # Errors
    /// The key is none of ours, or the value does not fit it.
    pub fn set(&mut self, assignment: &str) -> Result<(), SettingError> {
        let fail = |key: &str, problem: String| Err(SettingError { key: format!("site.{key}"), problem });
        let Some((key, value)) = assignment.split_once('=') else {
            return fail(assignment, "expected KEY=VALUE, for instance gpus=1".to_owned());
        };
        let number = || value.trim().parse::<u32>();
        match key.trim() {
            "shares" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.shares = Some(names.map(str::to_owned).collect());
            }
            "gpus" => match number() {
                Ok(n) => self.gpus = Some(n),
                Err(_) => return fail(key, format!("`{value}` is not a whole number")),
            },
            "external_ips" => match number() {
                Ok(n) => self.external_ips = Some(n),
                Err(_) => return fail(key, format!("`{value}` is not a whole number")),
            },
            other => return fail(other, "unknown; there are shares, gpus and external_ips".to_owned()),
        }
        Ok(())
    }
}

impl Intervals {
    /// Time between two looks at each source.
    pub fn collect(&self) -> Duration {
        Duration::from_secs_f64(self.collect)
    }

    /// Least time between two patches.
    pub fn publish(&self) -> Duration {
        Duration::from_secs_f64(self.publish)
    }

    /// Time between two telemetry summaries.
    pub fn summary(&self) -> Duration {
        Duration::from_secs_f64(self.summary)
    }

    fn validate(&self) -> Result<(), SettingError> {
        for (key, value) in [("collect", self.collect), ("publish", self.publish), ("summary", self.summary)] {
            if !(0.05..=86_400.0).contains(&value) {
                let problem = format!("{value} s is out of range, expected 0.05 to 86400");
                return Err(SettingError { key: format!("intervals.{key}"), problem });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_required() {
        assert_eq!(Settings::from_json(json!({})).unwrap(), Settings::default());
    }

    #[test]
    fn a_bad_setting_is_named() {
        let error = Settings::from_json(json!({"intervals": {"collect": 0}})).unwrap_err();
        assert_eq!(error.to_string(), "setting intervals.collect: 0 s is out of range, expected 0.05 to 86400");
        assert!(Settings::from_json(json!({"interval": 1})).unwrap_err().to_string().contains("unknown field"));
        let mut site = Site::default();
        assert!(site.set("gpu=1").unwrap_err().to_string().contains("there are shares"));
        assert!(site.set("gpus=many").is_err());
        site.set("shares=in, out").unwrap();
        assert_eq!(site.shares.unwrap().len(), 2);
    }
}
