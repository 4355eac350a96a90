//! Every byte of an inner document is found again in the file: random JSON, escaped at random, cut at random into
//! `createOptions01…` pieces, also through surrogate pairs and through escape sequences.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use edgeshift::text::{At, Document, Kind, Path, Source, Span, compact};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

/// JSON with awkward strings: quotes, backslashes, controls, characters of one to four bytes.
fn json() -> impl Strategy<Value = Value> {
    let text = "[a-c\"\\\\/\n\t\u{7f}é€😀𝄞\u{fffd} ]{0,12}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((text, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A string literal for `units`, in which each unit is escaped in one of the ways that JSON has, as `dice` say.
/// Half of a surrogate pair can only be written as an escape.
fn literal(units: &[u16], dice: &mut impl Iterator<Item = u8>) -> String {
    let mut out = String::from("\"");
    let mut i = 0;
    while i < units.len() {
        let (unit, way) = (units[i], dice.next().unwrap_or_default() % 3);
        let pair = char::decode_utf16(units[i..].iter().take(2).copied()).next();
        let escaped = match (unit, way) {
            (0x22 | 0x5c, 0 | 1) => format!("\\{}", char::from_u32(unit.into()).unwrap()),
            (0x2f, 0) => "\\/".to_owned(),
            (0x0a, 0) => "\\n".to_owned(),
            (0x09, 0) => "\\t".to_owned(),
            (0..0x20 | 0x22 | 0x5c, _) | (_, 2) => format!("\\u{unit:04X}"),
            _ => match pair {
                Some(Ok(c)) => {
                    i += c.len_utf16() - 1;
                    c.to_string()
                }
                _ => format!("\\u{unit:04x}"),
            },
        };
        out.push_str(&escaped);
        i += 1;
    }
    out + "\""
}

/// What the bytes at `span` say, read back by a parser that is not ours.
fn decoded_outer(document: &Document, span: Span) -> String {
    let text = document.source().text();
    let ranges = document.ranges(span);
    let joined: String = ranges.into_iter().map(|range| &text[range]).collect();
    serde_json::from_str(&format!("\"{joined}\"")).unwrap_or_else(|error| panic!("{joined}: {error}"))
}

fn inner_slice(document: &Document, at: At<'_>) -> String {
    let raw = at.raw();
    assert!(document.layer_text(at.span()).contains(raw));
    raw.to_owned()
}

/// A document whose member `o` is a string that holds `inner`, cut at `cuts` into `o`, `o01`, `o02` …
fn outer(inner: &str, cuts: &[prop::sample::Index], dice: &[u8]) -> (Document, usize) {
    let units: Vec<u16> = inner.encode_utf16().collect();
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(units.len() + 1)).chain([0, units.len()]).collect();
    at.sort_unstable();
    let mut dice = dice.iter().copied().cycle();
    let members: Vec<String> = at
        .windows(2)
        .enumerate()
        .map(|(i, ends)| {
            let key = if i == 0 { "o".to_owned() } else { format!("o{i:02}") };
            format!("{}:{}", Value::from(key), literal(&units[ends[0]..ends[1]], &mut dice))
        })
        .collect();
    let pieces = members.len();
    let text = format!("{{ {} }}", members.join(", "));
    (Document::parse(Source::new("outer", text)).unwrap(), pieces)
}

fn embed(document: &mut Document, pieces: usize) -> edgeshift::text::NodeId {
    let keys = (0..pieces).map(|i| if i == 0 { "o".to_owned() } else { format!("o{i:02}") });
    let ids: Vec<_> = keys.map(|key| document.find(&Path::default().key(key)).unwrap().id()).collect();
    document.embed(&ids).unwrap_or_else(|error| panic!("{error}: {}", document.source().text()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn outer_bytes_of_inner_spans_decode_to_the_inner_bytes(
        value in json(),
        pretty in any::<bool>(),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        dice in vec(any::<u8>(), 1..40),
        dice_inner in vec(any::<u8>(), 1..40),
    ) {
        // The inner document has escapes of its own, so that cuts also fall into those.
        let inner = if pretty { format!("{value:#}") } else { value.to_string() };
        let inner = escaped_again(&inner, &dice_inner);
        let (mut document, pieces) = outer(&inner, &cuts, &dice);
        let root = embed(&mut document, pieces);

        prop_assert_eq!(serde_json::from_str::<Value>(&compact(document.at(root))).unwrap(), value);
        let layer = document.at(root).span();
        for at in document.nodes().filter(|at| document.layer_text(at.span()) == document.layer_text(layer)) {
            prop_assert_eq!(decoded_outer(&document, at.span()), inner_slice(&document, at));
            prop_assert_eq!(document.path(at.span()).to_string(), at.path().to_string());
            prop_assert_eq!(document.find(&at.path()).map(|found| found.opened().span()), Some(at.span()));
            if let Some(key) = at.key() {
                let literal = decoded_outer(&document, at.key_span());
                prop_assert_eq!(serde_json::from_str::<String>(&literal).unwrap(), key);
            }
            if at.kind() == Kind::String {
                let text = at.as_str().unwrap();
                for (start, c) in text.char_indices() {
                    let part = decoded_outer(&document, at.part(start..start + c.len_utf8()));
                    // One level of escapes is left: the inner document's own.
                    let part: String = serde_json::from_str(&format!("\"{part}\"")).unwrap();
                    prop_assert_eq!(part, c.to_string());
                }
            }
        }
    }

    #[test]
    fn reading_never_panics(text in "[{}\\[\\]\",:\\\\ud8a0-9/* \n\u{feff}😀-]{0,60}") {
        if let Err(error) = Document::parse(Source::new("t", text.as_str())) {
            prop_assert!(error.at.iter().all(|range| range.start <= range.end && range.end <= text.len()));
        }
    }
}

/// The same JSON with its string literals escaped at random.
fn escaped_again(json: &str, dice: &[u8]) -> String {
    let document = Document::parse(Source::new("inner", json)).unwrap();
    let mut dice = dice.iter().copied().cycle();
    let mut out = json.to_owned();
    let mut literals: Vec<(std::ops::Range<usize>, String)> = Vec::new();
    for at in document.nodes() {
        if let Some(key) = at.key() {
            literals.push((document.ranges(at.key_span())[0].clone(), key.to_owned()));
        }
        if let Some(text) = at.as_str() {
            literals.push((document.ranges(at.span())[0].clone(), text.to_owned()));
        }
    }
    literals.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    for (range, text) in literals {
        let units: Vec<u16> = text.encode_utf16().collect();
        out.replace_range(range, &literal(&units, &mut dice));
    }
    out
}

#[test]
fn a_cut_through_a_pair_gives_two_ranges() {
    let text = r#"{ "o": "[\"\ud83d", "o01": "\ude00\"]" }"#;
    let mut document = Document::parse(Source::new("t", text)).unwrap();
    let root = embed(&mut document, 2);
    let smile = document.at(root).item(0).unwrap();
    assert_eq!(smile.as_str(), Some("😀"));
    let bytes: Vec<&str> = document.ranges(smile.part(0..4)).into_iter().map(|range| &text[range]).collect();
    assert_eq!(bytes, [r"\ud83d", r"\ude00"]);
}

#[test]
fn a_cut_through_an_escape_gives_two_ranges() {
    let text = r#"{ "o": "[\"a\\", "o01": "nb\"]" }"#;
    let mut document = Document::parse(Source::new("t", text)).unwrap();
    let root = embed(&mut document, 2);
    let line = document.at(root).item(0).unwrap();
    assert_eq!(line.as_str(), Some("a\nb"));
    let bytes: Vec<&str> = document.ranges(line.part(1..2)).into_iter().map(|range| &text[range]).collect();
    assert_eq!(bytes, [r"\\", "n"]);
}
