//! EdgeShift judges IoT Edge deployments that move from Azure Stack Edge Pro FPGA to Azure Stack Edge Pro GPU, and runs
//! on the device as a module that judges what is there by the same rules.
//!
//! # Bird's-eye view
//!
//! Evidence flows one way: `sources` (and, on the command line, `cli`) make an [`evidence::Snapshot`]; the [`engine`]
//! applies the [`rules`] to it and makes a [`report::Report`]; [`output`] and [`hub`] turn that into bytes. A
//! [`manifest::Manifest`] knows, through [`text`], which bytes of the user's file every value stands for, so a finding
//! always points there.
//!
//! # Invariants
//!
//! * Everything up to [`verbs`], [`output`] and [`hub`] is pure: no clock, no environment, no files, no network, no tasks.
//!   Without the feature `agent` nothing else is compiled.
//! * A rule never writes "not evaluated": the [`engine`] does, from what the rule says it needs.
//! * A finding is never an error, and an error is never a finding.
//! * Only [`output`] knows output formats; only [`text`] knows bytes; only `agent` and `cli` know the time.
//! * Nothing secret is shown: what reaches a frame has passed [`manifest::Manifest::masked`].
//!
//! `ARCHITECTURE.md` has the parts, the edges between them, and where to add what; `tests/architecture.rs` holds them.

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "agent")]
pub mod cli;
pub mod engine;
pub mod evidence;
pub mod finding;
pub mod hub;
#[cfg(feature = "agent")]
pub mod iotedge;
pub mod kube_model;
#[cfg(feature = "agent")]
pub mod link;
pub mod manifest;
pub mod output;
pub mod report;
pub mod rules;
pub mod settings;
#[cfg(feature = "agent")]
pub mod sim;
#[cfg(feature = "agent")]
pub mod sources;
pub mod target;
pub mod text;
pub mod verbs;
