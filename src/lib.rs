//! scaffold
#[cfg(feature = "agent")]
pub mod cli;
pub mod engine;
pub mod evidence;
pub mod finding;
pub mod kube_model;
pub mod manifest;
pub mod output;
pub mod report;
pub mod rules;
pub mod settings;
pub mod target;
pub mod text;
pub mod verbs;
