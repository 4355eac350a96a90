//! createOptions in the forms in which they come: an object, a string, or a string cut into pieces.

use crate::text::{At, Document, Kind, NodeId, SyntaxError};

/// How many pieces the agent joins: `createOptions`, `createOptions01` … `createOptions99`
/// (`migration-rules.md`, paths; `TwinValueMaxChunks`).
const MAX_PIECES: usize = 100;

/// The createOptions of one module.
#[derive(Debug, Clone)]
pub enum Options {
    /// None, or blank: the agent takes an empty object.
    Absent,
    /// Read as JSON; the root value.
    Parsed(NodeId),
    /// Not JSON: nothing below it can be judged.
    Broken {
        /// The string, or its first piece.
        node: NodeId,
        /// What is wrong.
        error: Box<SyntaxError>,
    },
}

impl Options {
    /// Reads the createOptions of the module entry `module` into `document`.
    pub(super) fn read(document: &mut Document, module: NodeId) -> Self {
        let Some(pieces) = document.at(module).get("settings").map(pieces) else { return Options::Absent };
        let [first, ..] = pieces.as_slice() else { return Options::Absent };
        let first = *first;
        if document.at(first).kind() == Kind::Object {
            return Options::Parsed(first);
        }
        let blank = pieces
            .iter()
            .all(|id| document.at(*id).raw().trim_matches(|c: char| c == '"' || c.is_whitespace()).is_empty());
        if blank {
            return Options::Absent;
        }
        match document.embed(&pieces) {
            Ok(root) => Options::Parsed(root),
            Err(error) => Options::Broken { node: first, error },
        }
    }

    /// The root value, if there is one that could be read.
    pub fn root(&self) -> Option<NodeId> {
        match self {
            Options::Parsed(root) => Some(*root),
            _ => None,
        }
    }

    /// Whether they are written as an object, not as a string.
    pub(super) fn is_object_in(&self, document: &Document) -> bool {
        self.root().is_some_and(|root| document.at(root).parent().is_some_and(|parent| parent.kind() == Kind::Object))
    }
}

/// The pieces in order: `createOptions` (or `createoptions`) and then 01, 02 … up to the first gap.
fn pieces(settings: At<'_>) -> Vec<NodeId> {
    let Some(first) = settings.get_ignoring_case("createOptions") else { return Vec::new() };
    let more = (1..MAX_PIECES).map_while(|n| settings.get_ignoring_case(&format!("createOptions{n:02}")));
    let strings = more.take_while(|at| at.kind() == Kind::String && first.kind() == Kind::String);
    std::iter::once(first).chain(strings).map(At::id).collect()
}
