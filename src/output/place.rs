//! Where in the user's file a finding points, as every format counts it.

use std::ops::Range;

use crate::text::{Document, Path, Position, Source, Span};

/// A place in a file: its path, and every range of bytes that it stands for. A place inside of string pieces has several.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: Path,
    pub(super) regions: Vec<Region>,
}

/// A range of bytes with the lines and columns of its ends; the end is behind the last character.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) bytes: Range<usize>,
    pub(super) start: Position,
    pub(super) end: Position,
}

impl Place {
    pub(super) fn of(document: &Document, at: Span) -> Self {
        let regions = document.ranges(at).into_iter().map(|range| Region::of(document.source(), range));
        Self { path: document.path(at), regions: regions.collect() }
    }

    /// Where it starts.
    pub(super) fn start(&self) -> Option<Position> {
        self.regions.first().map(|region| region.start)
    }
}

impl Region {
    pub(super) fn of(source: &Source, bytes: Range<usize>) -> Self {
        Self { start: source.position(bytes.start), end: source.position(bytes.end), bytes }
    }
}
