//! Findings that are known and accepted: for a reason, and if need be until a day.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SettingError;

/// Hides the findings of one rule, with the reason why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// The rule: its id or one of its codes.
    #[schemars(length(min = 1))]
    pub rule: String,
    /// The module; every one where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Why the finding is accepted.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// The last day on which it is, `yyyy-mm-dd`, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub until: Option<Date>,
}

impl Suppression {
    /// Whether it holds no longer at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| Offset::UTC.to_datetime(now).date() > until)
    }

    /// Whether it is about `module`; findings about the deployment as a whole have none.
    pub fn covers(&self, module: Option<&str>) -> bool {
        self.module.as_deref().is_none_or(|named| Some(named) == module)
    }

    pub(super) fn validate(&self, index: usize) -> Result<(), SettingError> {
        let refused = |field: &str, problem: &str| {
            Err(SettingError { key: format!("suppress[{index}].{field}"), problem: problem.to_owned() })
        };
        match (self.rule.trim(), self.reason.trim()) {
            ("", _) => refused("rule", "expected the id or a code of a rule"),
            (_, "") => refused("reason", "a suppression needs a reason"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_to_the_end_of_its_last_day() {
        let until = Some("2026-03-01".parse().unwrap());
        let suppression = Suppression { rule: "x".to_owned(), module: None, reason: "r".to_owned(), until };
        assert!(!suppression.is_expired("2026-03-01T23:59:59Z".parse().unwrap()));
        assert!(suppression.is_expired("2026-03-02T00:00:00Z".parse().unwrap()));
    }
}
