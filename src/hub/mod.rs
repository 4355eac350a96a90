//! IoT Hub's wire forms as pure codecs: reported properties under their budget, telemetry messages, direct methods,
//! topics.

pub mod message;
pub mod method;
pub mod mirror;
pub mod reported;
pub mod topic;
