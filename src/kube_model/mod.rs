//! Kubernetes as the agent uses it: how its objects are written. Pure data to data; judges nothing.

pub(crate) mod quantity;
pub(crate) mod volume;
