//! `explain`: the page of a rule.

use clap::Args;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::Rule;
use crate::rules;

/// What `explain` is asked for.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainArgs {
    /// The rule: its id (storage-share-bind) or one of its codes (STO-001)
    pub rule: String,
}

/// There is no such rule.
#[derive(Debug, Error)]
#[error("there is no rule `{asked}`{}", self.hint())]
pub struct NoSuchRule {
    asked: String,
    near: Vec<&'static str>,
}

impl NoSuchRule {
    fn hint(&self) -> String {
        match self.near.as_slice() {
            [] => "; `edgeshift rules` lists them all".to_owned(),
            near => format!("; did you mean {}?", near.join(", ")),
        }
    }
}

/// The rules that are asked for; several where a code has one for each target.
///
/// # Errors
/// No rule has that id or code; the error names those that come near.
pub fn explain(args: &ExplainArgs) -> Result<Vec<&'static Rule>, NoSuchRule> {
    let found = rules::find(&args.rule);
    if !found.is_empty() {
        return Ok(found);
    }
    let asked = args.rule.to_ascii_lowercase();
    let likeness = |id: &str| {
        if id.contains(&asked) { 1.0 } else { similar::TextDiff::from_chars(id, asked.as_str()).ratio() }
    };
    let mut near: Vec<(f32, &str)> = rules::ALL.iter().map(|rule| (likeness(rule.id), rule.id)).collect();
    near.retain(|(likeness, _)| *likeness > 0.7);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    Err(NoSuchRule { asked: args.rule.clone(), near: near.into_iter().take(3).map(|(_, id)| id).collect() })
}
