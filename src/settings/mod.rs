//! What a user knows and wants: target, facts about the site, suppressions and the module's own intervals. One type,
//! whether it comes from `.edgeshift.toml`, from flags, or from the desired properties of the module twin.

mod desired;
mod handed;
mod site;
mod suppression;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use desired::Desired;
pub use handed::Handed;
pub use site::{Cuda, Quantity, Site};
pub use suppression::Suppression;

use crate::target::{Agent, Target};

/// All settings. Every one has a default, so an empty file is valid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the deployment is to run: `ase-k8s` or `ase-vm`, with `@yymm` for the device software.
    pub target: Target,
    /// The IoT Edge agent on Kubernetes, `beta3` to `beta15`. `beta13` was seen on devices in 2021.
    pub agent: Agent,
    /// What the operator knows about the device and that no manifest shows.
    pub site: Site,
    /// Findings that are known and accepted.
    pub suppress: Vec<Suppression>,
    /// How often the module looks and reports.
    pub intervals: Intervals,
    /// What the module sends as telemetry.
    pub outputs: Outputs,
    /// What monitors get at `/metrics` of the module.
    pub metrics: Metrics,
    /// How much the module writes into its log; as much as edgeAgent where nothing is set.
    pub log: Option<LogLevel>,
    /// The deployment that the module judges, or the twin of `$edgeAgent`, as text: whole, or in pieces of at most 4 KB.
    pub manifest: Option<Handed>,
}

/// Outputs of the module; each sends only where it is true and a route leads on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Outputs {
    /// Modules that run or stand differently than before, and summaries.
    pub health: bool,
    /// A window of every GPU, with each summary.
    pub gpu: bool,
}

impl Default for Outputs {
    fn default() -> Self {
        Self { health: true, gpu: true }
    }
}

/// What monitors get.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether GPUs are also shown by the names of NVIDIA's DCGM exporter, for dashboards that are made for it. They are
    /// as many series again.
    pub dcgm: DcgmNames,
}

/// Which metrics of NVIDIA's DCGM exporter there are (`gpu.md` §2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DcgmNames {
    /// None.
    #[default]
    Off,
    /// Those that the exporter has by default, as far as they can be known without DCGM.
    Core,
    /// Also those that it can be told to have, and the label `modelName`.
    Full,
}

/// How much is written into a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed for good.
    Error,
    /// What failed and is tried again.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// Every step.
    Debug,
    /// Every packet.
    Trace,
}

impl LogLevel {
    /// The word that users write.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// Intervals of the long-lived module, in seconds. The defaults follow `iothub-limits.md` §1.5: report on change
/// only and not more often than every 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Intervals {
    /// Seconds between two looks at each source.
    #[schemars(range(min = 0.05, max = 86_400))]
    pub collect: f64,
    /// Seconds at least between two reported-property patches.
    #[schemars(range(min = 0.05, max = 86_400))]
    pub publish: f64,
    /// Seconds between two telemetry summaries.
    #[schemars(range(min = 0.05, max = 86_400))]
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
    /// Which one, dotted; or where it stands in the file.
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
        settings.validated()
    }

    /// Reads settings out of the text of a `.edgeshift.toml`.
    ///
    /// # Errors
    /// The text is not TOML, a key is unknown, a value has the wrong type or is out of range; with the line.
    pub fn from_toml(text: &str) -> Result<Self, SettingError> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or(text).matches('\n').count() + 1;
            SettingError { key: format!("in line {line}"), problem: error.message().to_owned() }
        })?;
        settings.validated()
    }

    fn validated(mut self) -> Result<Self, SettingError> {
        self.intervals.validate()?;
        self.suppress.iter().enumerate().try_for_each(|(i, suppression)| suppression.validate(i))?;
        if self.target.software.is_none() {
            self.target.software = self.site.software;
        }
        Ok(self)
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
        assert_eq!(Settings::from_toml("").unwrap(), Settings::default());
    }

    #[test]
    fn json_and_toml_say_the_same() {
        let toml = r#"
            target = "ase-k8s"
            agent = "beta10"
            [site]
            shares = ["input", "output"]
            software = "2103"
            worker_memory = "8Gi"
            [[suppress]]
            rule = "storage-host-bind"
            module = "m"
            reason = "scratch data"
            until = "2027-01-31"
        "#;
        let json = json!({
            "target": "ase-k8s@2103",
            "agent": "beta10",
            "site": { "shares": ["output", "input"], "software": "2103", "worker_memory": "8Gi" },
            "suppress": [
                { "rule": "storage-host-bind", "module": "m", "reason": "scratch data", "until": "2027-01-31" },
            ],
        });
        assert_eq!(Settings::from_toml(toml).unwrap(), Settings::from_json(json).unwrap());
    }

    #[test]
    fn a_bad_setting_is_named() {
        let error = Settings::from_json(json!({"intervals": {"collect": 0}})).unwrap_err();
        assert_eq!(error.to_string(), "setting intervals.collect: 0 s is out of range, expected 0.05 to 86400");
        for (toml, expected) in [
            ("\n\ninterval = 1", "in line 3: unknown field `interval`"),
            ("[site]\ngpus = -1", "in line 2: invalid value"),
            ("[site]\nworker_memory = \"lots\"", "`lots` is no quantity"),
            ("[[suppress]]\nrule = \"x\"", "missing field `reason`"),
            ("[[suppress]]\nrule = \"x\"\nreason = \" \"", "suppress[0].reason: a suppression needs a reason"),
            ("[[suppress]]\nrule = \"x\"\nreason = \"r\"\nuntil = \"soon\"", "in line 4"),
            ("agent = \"beta99\"", "expected one of beta3"),
            ("target = \"moon\"", "is not a target"),
            ("= 1", "in line 1"),
        ] {
            let error = Settings::from_toml(toml).unwrap_err().to_string();
            assert!(error.contains(expected), "{toml}: expected `{expected}` in `{error}`");
        }
    }
}
