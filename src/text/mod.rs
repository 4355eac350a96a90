//! JSON text whose every key and value knows its bytes, also through JSON-in-a-string and through
//! `createOptions01…` pieces. Knows nothing of IoT Edge: callers say which strings hold JSON.

mod edit;
mod lines;
mod path;
mod scan;
mod string;
mod syntax;
mod tree;
mod write;

pub use edit::{Edit, EditError, Replacement, apply, replacements};
pub use lines::Position;
pub use path::{Path, Step};
pub use syntax::{Source, SyntaxError, SyntaxNote};
pub use tree::{At, Document, Kind, NodeId, Span};
pub use write::{Written, compact, pretty, value};

/// The deepest nesting of brackets that is read. Real deployments nest about 12 deep; IoT Hub allows 10 levels
/// in a twin section (`iothub-limits.md` §1.1) and JSON-in-a-string starts again at 0.
pub const MAX_DEPTH: usize = 128;

/// The largest text that is read, in bytes. The largest deployment that IoT Hub takes is 32 KB per twin section;
/// the rest is head room for comments and generated files.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
