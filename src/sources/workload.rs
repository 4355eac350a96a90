//! The siblings as IoT Edge's workload API lists them (`iotedge-protocol.md` §C): on Docker without any right, on
//! Kubernetes the list is always empty, which says nothing.

use std::sync::Arc;

use super::{Look, Question, Sight, Source};
use crate::evidence::Sibling;
use crate::iotedge::Workload;

/// The workload API, asked for the list of modules.
#[derive(Debug)]
pub struct WorkloadList(pub Arc<Workload>);

impl Source for WorkloadList {
    fn name(&self) -> &'static str {
        "workload"
    }

    fn question(&self) -> Question {
        Question::Siblings
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async {
            let listed = self.0.modules().await.map_err(|error| error.to_string())?;
            let siblings = listed.into_iter().map(|module| {
                let labels = module.labels.into_iter().map(|(name, _)| name).collect();
                (module.name, Sibling { image: module.image, digest: module.digest, labels, status: module.status })
            });
            let siblings: std::collections::BTreeMap<_, _> = siblings.collect();
            Ok((!siblings.is_empty()).then_some(Sight::Siblings(siblings)))
        })
    }
}
