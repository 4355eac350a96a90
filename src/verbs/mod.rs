//! What can be asked: argument structs and pure functions, the same for the command line and for direct methods.

pub mod check;
pub mod explain;
pub mod gpu;
pub mod render;
pub mod rules;
