//! The twins of siblings, out of the patches that a route of twin changes brings to our input `twins`
//! (`iotedge-protocol.md` §C6): laid over each other, without secrets, bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::evidence::SiblingTwin;
use crate::hub::message::Input;
use crate::hub::twin_change;
use crate::sources::{Look, Question, Sight, Source};

/// The input that the route leads to.
const INPUT: &str = "twins";

/// The most siblings that are kept: a deployment has at most 50 modules (`iothub-limits.md` §4).
const MAX_SIBLINGS: usize = 64;

/// The twins as they are known now.
#[derive(Debug, Clone)]
pub(super) struct Siblings(watch::Sender<Arc<BTreeMap<String, SiblingTwin>>>);

impl Siblings {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }

    /// Takes in what came to an input. What is no patch of a sibling's twin is passed over.
    pub(super) fn take(&self, input: &Input, now: Timestamp) {
        let patch: Option<Value> = serde_json::from_slice(&input.body).ok().filter(Value::is_object);
        let (INPUT, Some(sender), Some(patch)) = (input.name.as_str(), input.sender_module.as_deref(), patch) else {
            tracing::debug!(input = input.name, "A message that is no twin change was passed over.");
            return;
        };
        let is_taken = self.0.send_if_modified(|twins| {
            let twins = Arc::make_mut(twins);
            if !twins.contains_key(sender) && twins.len() >= MAX_SIBLINGS {
                return false;
            }
            let twin = twins.remove(sender);
            twins.insert(sender.to_owned(), twin_change::taken(twin, &patch, now));
            true
        });
        if is_taken {
            tracing::debug!(module = sender, bytes = input.body.len(), "A sibling reported.");
        } else {
            tracing::warn!(module = sender, "There are too many siblings; this one's twin is not kept.");
        }
    }
}

impl Source for Siblings {
    fn name(&self) -> &'static str {
        "twin changes"
    }

    fn question(&self) -> Question {
        Question::Reports
    }

    fn look(&self) -> Look<'_> {
        let twins = Arc::clone(&self.0.borrow());
        let sight = (!twins.is_empty()).then(|| Sight::Reports(BTreeMap::clone(&twins)));
        Box::pin(std::future::ready(Ok(sight)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(sender: &str, body: &str) -> Input {
        Input { name: INPUT.to_owned(), sender_module: Some(sender.to_owned()), body: body.as_bytes().to_vec() }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn known(siblings: &Siblings) -> Arc<BTreeMap<String, SiblingTwin>> {
        Arc::clone(&siblings.0.borrow())
    }

    #[test]
    fn what_is_no_twin_change_is_passed_over() {
        let siblings = Siblings::new();
        for body in ["", "{", "[]", "7", "null"] {
            siblings.take(&input("scorer", body), now());
        }
        siblings.take(&Input { name: "other".to_owned(), ..input("scorer", "{}") }, now());
        siblings.take(&Input { sender_module: None, ..input("scorer", "{}") }, now());
        assert!(known(&siblings).is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let siblings = Siblings::new();
        for i in 0..MAX_SIBLINGS + 10 {
            siblings.take(&input(&format!("m{i}"), r#"{"a": 1}"#), now());
        }
        assert_eq!(known(&siblings).len(), MAX_SIBLINGS);
    }
}
