//! IoT Hub's wire forms as pure codecs: desired and reported properties, telemetry messages, direct methods, topics.

pub mod desired;
pub mod message;
pub mod method;
pub mod mirror;
pub mod reported;
pub mod topic;
pub mod twin_change;
