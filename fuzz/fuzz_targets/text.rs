#![no_main]
//! Any text: an error points into it; a document says of every node where it stands, and reads back what it writes.

use edgeshift::text::{Document, Source, compact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Document::parse(Source::new("fuzz", text)) {
        Err(error) => {
            for range in error.at.iter().chain(error.notes.iter().flat_map(|note| &note.at)) {
                assert!(text.get(range.clone()).is_some(), "{error}: {range:?}");
            }
        }
        Ok(document) => {
            for at in document.nodes() {
                assert_eq!(document.path(at.span()).to_string(), at.path().to_string());
                assert!(document.ranges(at.span()).iter().all(|range| text.get(range.clone()).is_some()));
                if let Some(text) = at.as_str() {
                    at.part(0..text.len());
                }
            }
            let again = Document::parse(Source::new("again", compact(document.root()))).expect("what is written is JSON");
            assert_eq!(compact(again.root()), compact(document.root()));
        }
    }
});
