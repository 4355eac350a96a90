//! A parsed document: an arena of nodes, each with its bytes and its parent, over one or more layers of text.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use jsonc_parser::ast::{ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::lines::Position;
use super::path::{Path, Step};
use super::string::{Decoder, Origin};
use super::syntax::{self, Places, Source, SyntaxError};
use super::{MAX_BYTES, MAX_DEPTH};

/// A node of a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// Bytes of one layer of a document. [`Document::ranges`] says which bytes of the file they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    layer: u32,
    start: u32,
    end: u32,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number; its digits are [`At::raw`].
    Number,
    /// A string; its text is [`At::as_str`].
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A parsed text. Layer 0 is the file; every string that is read as JSON adds a layer.
#[derive(Debug, Clone)]
pub struct Document {
    source: Source,
    layers: Vec<Layer>,
    nodes: Vec<Node>,
    /// What strings with escapes say, once somebody asked.
    decoded: Vec<OnceLock<Box<str>>>,
}

#[derive(Debug, Clone)]
struct Layer {
    text: Arc<str>,
    /// Layer and map of the strings that this text was decoded out of; `None` for layer 0.
    origin: Option<(u32, Origin)>,
    root: NodeId,
}

/// Kept small: rules walk over all of them again and again.
#[derive(Debug, Clone)]
struct Node {
    span: Span,
    kind: Kind,
    /// For a string with escapes, which says something else than its bytes: its place in [`Document::decoded`].
    escaped: Option<NonZeroU32>,
    /// Which keys an object may have.
    keys: Keys,
    parent: Option<NodeId>,
    /// The key under which the parent object holds this node.
    key: Option<Key>,
    /// The children stand side by side in the arena.
    children: Range<u32>,
}

/// A key, in the layer of its value.
#[derive(Debug, Clone, Copy)]
struct Key {
    start: u32,
    end: u32,
    quoted: bool,
    /// As in [`Node`].
    escaped: Option<NonZeroU32>,
}

/// Keys by their length and their ends, a bit for each: most lookups are for keys that are not there.
#[derive(Debug, Clone, Copy, Default)]
struct Keys(u32);

impl Keys {
    const ANY: Keys = Keys(u32::MAX);

    /// The same for all spellings of `key`.
    fn of(key: &str) -> Self {
        let letter = |byte: Option<&u8>| usize::from(byte.map_or(0, u8::to_ascii_lowercase));
        let bytes = key.as_bytes();
        Self(1 << ((bytes.len() + 3 * letter(bytes.first()) + 5 * letter(bytes.last())) % 32))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn may_have(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Key {
    /// Whether it can be `key` by its length: most cannot, and their text need not be looked at.
    fn may_be(self, key: &str) -> bool {
        self.content().len() == key.len() || self.escaped.is_some()
    }

    /// Without its quotes.
    fn content(self) -> Range<usize> {
        let quote = usize::from(self.quoted);
        self.start as usize + quote..self.end as usize - quote
    }
}

impl Document {
    /// Parses JSON, with comments and trailing commas as the IoT Edge agent's own parser accepts them.
    ///
    /// # Errors
    /// One located error: not JSON, too deep ([`MAX_DEPTH`]) or too long ([`MAX_BYTES`]).
    pub fn parse(source: Source) -> Result<Self, Box<SyntaxError>> {
        let text = source.shared_text();
        let mut document = Self {
            source,
            layers: vec![Layer { text, origin: None, root: NodeId(0) }],
            nodes: Vec::new(),
            decoded: Vec::new(),
        };
        document.grow(None)?;
        Ok(document)
    }

    /// Reads the joined text of `pieces`, string nodes of one layer, as JSON and hangs it below the first piece,
    /// so that paths go through it as if the JSON were not in a string.
    ///
    /// # Errors
    /// The joined text is not JSON. The document stays as it was.
    ///
    /// # Panics
    /// If `pieces` is empty.
    pub fn embed(&mut self, pieces: &[NodeId]) -> Result<NodeId, Box<SyntaxError>> {
        let first = *pieces.first().expect("internal error: embed needs a piece");
        let outer_layer = self.nodes[first.0 as usize].span.layer;
        let mut decoder = Decoder::default();
        for piece in pieces {
            let span = self.nodes[piece.0 as usize].span;
            decoder.literal(content(self.slice(span)), span.start as usize + 1);
        }
        let (text, origin) = decoder.finish();
        self.layers.push(Layer { text: text.into(), origin: Some((outer_layer, origin)), root: first });
        let grown = self.grow(Some(first));
        if grown.is_err() {
            self.layers.pop();
        }
        grown
    }

    /// The root value.
    pub fn root(&self) -> At<'_> {
        self.at(self.layers[0].root)
    }

    /// The node `id`, which must be of this document.
    pub fn at(&self, id: NodeId) -> At<'_> {
        At { document: self, id }
    }

    /// The text of the file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The node at `path`, through embedded JSON.
    pub fn find(&self, path: &Path) -> Option<At<'_>> {
        path.steps().iter().try_fold(self.root(), |at, step| match step {
            Step::Key(key) => at.get(key),
            Step::Index(index) => at.item(*index),
        })
    }

    /// The bytes of the file that `span` stands for, in order. A span through `createOptions01…` pieces may be
    /// several ranges.
    pub fn ranges(&self, span: Span) -> Vec<Range<usize>> {
        let mut ranges = vec![span.start as usize..span.end as usize];
        let mut layer = span.layer;
        while let Some((outer, origin)) = &self.layers[layer as usize].origin {
            ranges = ranges.into_iter().flat_map(|range| origin.outer(range)).collect();
            layer = *outer;
        }
        ranges
    }

    /// Line and column in the file where `span` starts.
    pub fn position(&self, span: Span) -> Position {
        let start = self.ranges(span).first().map_or(0, |range| range.start);
        self.source.position(start)
    }

    /// The text of the layer of `span`: the file, or what a string (or its pieces) says.
    pub fn layer_text(&self, span: Span) -> &str {
        &self.layers[span.layer as usize].text
    }

    /// The span of bytes of the file.
    pub fn span_in_file(&self, range: Range<usize>) -> Span {
        Span { layer: 0, start: narrow(range.start), end: narrow(range.end) }
    }

    /// The path of the innermost node or key that holds `span`.
    pub fn path(&self, span: Span) -> Path {
        let mut at = self.at(self.layers[span.layer as usize].root);
        loop {
            let children = if at.kind() == Kind::String { &[] } else { self.children(at.node()) };
            let starts = |node: &Node| node.key.map_or(node.span.start, |key| key.start);
            let after = children.partition_point(|node| starts(node) <= span.start);
            match after.checked_sub(1) {
                Some(last) if span.end <= children[last].span.end => {
                    at = self.at(NodeId(at.node().children.start + narrow(last)));
                }
                _ => return at.path(),
            }
        }
    }

    /// How many nodes there are, those of embedded JSON included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node; never so for a parsed document.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Every node, parents before children.
    pub fn nodes(&self) -> impl Iterator<Item = At<'_>> {
        (0..self.nodes.len()).map(|i| self.at(NodeId(narrow(i))))
    }

    fn children(&self, node: &Node) -> &[Node] {
        &self.nodes[node.children.start as usize..node.children.end as usize]
    }

    /// What is written at `span`, in the text of its layer.
    pub fn slice(&self, span: Span) -> &str {
        &self.layer_text(span)[span.start as usize..span.end as usize]
    }

    /// Parses the text of the last layer into nodes below `parent`; on an error no node stays behind.
    fn grow(&mut self, parent: Option<NodeId>) -> Result<NodeId, Box<SyntaxError>> {
        let layer = narrow(self.layers.len() - 1);
        let text = Arc::clone(&self.layers[layer as usize].text);
        let map = |range: Range<usize>| self.ranges(Span { layer, start: narrow(range.start), end: narrow(range.end) });
        let places = Places { file: &self.source, map: &map };
        if text.len() > MAX_BYTES {
            return Err(Box::new(syntax::too_long(text.len(), MAX_BYTES)));
        }
        let readable = readable(&text);
        let parsed = parse_to_ast(&readable, &collect_options(), &parse_options(layer > 0));
        let value = match parsed.map(|parsed| parsed.value) {
            Ok(Some(value)) if !is_deeper(&value, MAX_DEPTH) => value,
            Ok(None) => return Err(Box::new(syntax::empty(&text, &places))),
            unread => return Err(Box::new(syntax::explain(&text, unread.err().as_ref(), MAX_DEPTH, &places))),
        };
        let root = NodeId(narrow(self.nodes.len()));
        let has_escapes = matches!(readable, Cow::Owned(_));
        let mut grower = Grower { nodes: &mut self.nodes, decoded: &mut self.decoded, layer, text: &text, has_escapes };
        grower.seat(parent, None);
        grower.fill(root, &value);
        self.layers[layer as usize].root = root;
        if let Some(parent) = parent {
            self.nodes[parent.0 as usize].children = root.0..root.0 + 1;
        }
        Ok(root)
    }
}

/// `text` without byte order mark and escapes, which are overwritten so that offsets stay. The parser refuses the mark and
/// half a surrogate pair, which a piece of createOptions may end in, and decodes escapes in vain: the tree decodes them when
/// somebody asks. Escapes that are none stay, and the parser says so. Where no string is, `?` is as wrong as a backslash.
fn readable(text: &str) -> Cow<'_, str> {
    const BOM: &str = "\u{feff}";
    let is_marked = text.starts_with(BOM);
    if !is_marked && !text.contains('\\') {
        return text.into();
    }
    let mut bytes = text.as_bytes().to_vec();
    if is_marked {
        bytes[..BOM.len()].fill(b' ');
    }
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let length = match bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if bytes.get(at + 2..at + 6).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)) => 6,
            _ => {
                at += 1;
                continue;
            }
        };
        bytes[at..at + length].fill(b'?');
        at += length;
    }
    // ASCII was overwritten with ASCII, and the mark as a whole: the text stays UTF-8.
    String::from_utf8(bytes).unwrap_or_default().into()
}

/// Comments and trailing commas are read everywhere. Keys without quotes are read where JSON stands in a string: the agent
/// reads them there, and no tool has looked at that text before (`corpus.md`, quirk 17).
fn parse_options(embedded: bool) -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: embedded,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn collect_options() -> CollectOptions {
    CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false }
}

/// Whether brackets nest more than `levels` deep in `value`.
fn is_deeper(value: &Value<'_>, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else { return matches!(value, Value::Array(_) | Value::Object(_)) };
    match value {
        Value::Array(array) => array.elements.iter().any(|element| is_deeper(element, left)),
        Value::Object(object) => object.properties.iter().any(|property| is_deeper(&property.value, left)),
        _ => false,
    }
}

/// Copies a syntax tree into the arena.
struct Grower<'d> {
    nodes: &'d mut Vec<Node>,
    decoded: &'d mut Vec<OnceLock<Box<str>>>,
    layer: u32,
    text: &'d str,
    /// Whether there may be any: most texts that stand in strings have none.
    has_escapes: bool,
}

impl Grower<'_> {
    /// Makes the place of a node, so that its siblings can stand beside it.
    fn seat(&mut self, parent: Option<NodeId>, key: Option<Key>) {
        let span = Span { layer: self.layer, start: 0, end: 0 };
        let keys = Keys::default();
        self.nodes.push(Node { span, kind: Kind::Null, escaped: None, keys, parent, key, children: 0..0 });
    }

    fn fill(&mut self, id: NodeId, value: &Value<'_>) {
        let first = narrow(self.nodes.len());
        let escaped = matches!(value, Value::StringLit(_)).then(|| self.escaped(value.start()..value.end())).flatten();
        let node = &mut self.nodes[id.0 as usize];
        (node.span.start, node.span.end) = (narrow(value.start()), narrow(value.end()));
        node.kind = match value {
            Value::NullKeyword(_) => Kind::Null,
            Value::BooleanLit(b) => Kind::Bool(b.value),
            Value::NumberLit(_) => Kind::Number,
            Value::StringLit(_) => Kind::String,
            Value::Array(_) => Kind::Array,
            Value::Object(_) => Kind::Object,
        };
        match value {
            Value::StringLit(_) => node.escaped = escaped,
            Value::Array(array) => {
                node.children = first..first + narrow(array.elements.len());
                (0..array.elements.len()).for_each(|_| self.seat(Some(id), None));
                (first..).zip(&array.elements).for_each(|(child, value)| self.fill(NodeId(child), value));
            }
            Value::Object(object) => {
                node.children = first..first + narrow(object.properties.len());
                let mut keys = Keys::default();
                for property in &object.properties {
                    let key = self.key(&property.name);
                    keys = keys.and(key.escaped.map_or_else(|| Keys::of(&self.text[key.content()]), |_| Keys::ANY));
                    self.seat(Some(id), Some(key));
                }
                self.nodes[id.0 as usize].keys = keys;
                (first..)
                    .zip(&object.properties)
                    .for_each(|(child, property)| self.fill(NodeId(child), &property.value));
            }
            _ => {}
        }
    }

    fn key(&mut self, name: &ObjectPropName<'_>) -> Key {
        let (range, quoted) = match name {
            ObjectPropName::String(literal) => (literal.start()..literal.end(), true),
            ObjectPropName::Word(word) => (word.start()..word.end(), false),
        };
        Key { start: narrow(range.start), end: narrow(range.end), quoted, escaped: self.escaped(range) }
    }

    /// A place for what a literal says, if it has escapes.
    fn escaped(&mut self, literal: Range<usize>) -> Option<NonZeroU32> {
        let is_escaped = self.has_escapes && self.text.as_bytes()[literal].contains(&b'\\');
        is_escaped.then(|| self.decoded.push(OnceLock::new()))?;
        NonZeroU32::new(narrow(self.decoded.len()))
    }
}

/// What a string literal says.
fn decoded(literal: &str) -> Box<str> {
    // Half a surrogate pair is no text to serde_json.
    serde_json::from_str(literal).unwrap_or_else(|_| {
        let mut decoder = Decoder::default();
        decoder.literal(content(literal), 0);
        decoder.finish().0.into()
    })
}

/// A string literal without its quotes.
fn content(literal: &str) -> &str {
    literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(literal)
}

/// Offsets fit in 32 bits: [`MAX_BYTES`] is checked before anything is parsed, and decoding never lengthens.
pub(super) fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

impl Span {
    /// From the start of this span to the end of `other`, which must be of the same layer.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end, ..self }
    }
}

/// A node in its document: cheap to copy, knows its bytes, its parent and its children.
#[derive(Debug, Clone, Copy)]
pub struct At<'d> {
    document: &'d Document,
    id: NodeId,
}

impl<'d> At<'d> {
    fn node(self) -> &'d Node {
        &self.document.nodes[self.id.0 as usize]
    }

    /// The document.
    pub fn document(self) -> &'d Document {
        self.document
    }

    /// The node's id.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// What the node is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// The bytes of the value.
    pub fn span(self) -> Span {
        self.node().span
    }

    /// The bytes of the key that holds this value, or of the value where there is none.
    pub fn key_span(self) -> Span {
        let span = self.span();
        self.node().key.map_or(span, |key| Span { start: key.start, end: key.end, ..span })
    }

    /// The bytes of key and value.
    pub fn member_span(self) -> Span {
        self.key_span().to(self.span())
    }

    /// The key under which an object holds this value.
    pub fn key(self) -> Option<&'d str> {
        let node = self.node();
        node.key.map(|key| self.key_text(self.document.layer_text(node.span), key))
    }

    /// Whether the key is written in quotes; so is a value without a key.
    pub fn is_key_quoted(self) -> bool {
        self.node().key.is_none_or(|key| key.quoted)
    }

    /// The value as it is written.
    pub fn raw(self) -> &'d str {
        self.document.slice(self.span())
    }

    /// What a string says.
    pub fn as_str(self) -> Option<&'d str> {
        let node = self.node();
        let text = (node.kind == Kind::String).then(|| self.raw())?;
        Some(node.escaped.map_or_else(|| content(text), |place| self.decoded(place, text)))
    }

    /// What `literal` says, which has escapes.
    fn decoded(self, place: NonZeroU32, literal: &str) -> &'d str {
        self.document.decoded[place.get() as usize - 1].get_or_init(|| decoded(literal))
    }

    /// What `key` says, in the text of its layer.
    fn key_text(self, layer: &'d str, key: Key) -> &'d str {
        match key.escaped {
            Some(place) => self.decoded(place, &layer[key.start as usize..key.end as usize]),
            None => &layer[key.content()],
        }
    }

    /// A string as it is, a number or boolean as it is written.
    pub fn as_text(self) -> Option<&'d str> {
        match self.kind() {
            Kind::String => self.as_str(),
            Kind::Number | Kind::Bool(_) => Some(self.raw()),
            _ => None,
        }
    }

    /// A boolean, also one written as a string, which the agent's parser accepts (`corpus.md` quirk 24).
    pub fn as_bool(self) -> Option<bool> {
        match self.kind() {
            Kind::Bool(value) => Some(value),
            Kind::String => self.as_str()?.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }

    /// A whole number, also one written as a string.
    pub fn as_i64(self) -> Option<i64> {
        self.as_text()?.trim().parse().ok()
    }

    /// The bytes of `range` of what a string says, for instance one part of `host:container`.
    pub fn part(self, range: Range<usize>) -> Span {
        let span = self.span();
        let text = content(self.raw());
        if self.node().escaped.is_none() {
            // Most strings mean what they are made of.
            let start = |offset: usize| (span.start + 1 + narrow(offset)).min(span.end);
            return Span { start: start(range.start), end: start(range.end), ..span };
        }
        let mut decoder = Decoder::default();
        decoder.literal(text, span.start as usize + 1);
        let outer = decoder.finish().1.outer(range);
        let start = outer.first().map_or(span.start, |range| narrow(range.start));
        let end = outer.last().map_or(span.end, |range| narrow(range.end));
        Span { start, end, ..span }
    }

    /// The elements of an array; nothing for other values.
    pub fn items(self) -> impl DoubleEndedIterator<Item = At<'d>> + ExactSizeIterator {
        let ids = if self.kind() == Kind::Array { self.node().children.clone() } else { 0..0 };
        ids.map(move |id| self.document.at(NodeId(id)))
    }

    /// The values of an object, each knowing its key; for a string that holds embedded JSON, those of that.
    pub fn members(self) -> impl DoubleEndedIterator<Item = At<'d>> + ExactSizeIterator {
        let node = self.opened();
        let ids = if node.kind() == Kind::Object { node.node().children.clone() } else { 0..0 };
        ids.map(move |id| self.document.at(NodeId(id)))
    }

    /// The element `index` of an array, also of one that is embedded in a string.
    pub fn item(self, index: usize) -> Option<At<'d>> {
        self.opened().items().nth(index)
    }

    /// The member `key`; the last one where a key stands twice, as the agent's parser takes it.
    pub fn get(self, key: &str) -> Option<At<'d>> {
        self.find(|text| text == key, key)
    }

    /// The member `key` without regard to ASCII case, as the agent's parser finds its properties.
    pub fn get_ignoring_case(self, key: &str) -> Option<At<'d>> {
        self.find(|text| text == key || text.eq_ignore_ascii_case(key), key)
    }

    /// The last member whose key, of the length of `key`, is what `is` looks for.
    fn find(self, is: impl Fn(&str) -> bool, key: &str) -> Option<At<'d>> {
        let node = self.opened().node();
        if node.kind != Kind::Object || !node.keys.may_have(Keys::of(key)) {
            return None;
        }
        let children = self.document.children(node);
        let layer = self.document.layer_text(children.first()?.span);
        let is = |child: &Node| child.key.is_some_and(|own| own.may_be(key) && is(self.key_text(layer, own)));
        let found = children.iter().rposition(is)?;
        Some(self.document.at(NodeId(node.children.start + narrow(found))))
    }

    /// The value that holds this one; for the root of embedded JSON, the string (its first piece).
    pub fn parent(self) -> Option<At<'d>> {
        self.node().parent.map(|id| self.document.at(id))
    }

    /// The embedded root for a string that holds JSON, the value itself otherwise.
    #[must_use]
    pub fn opened(self) -> At<'d> {
        let children = &self.node().children;
        if self.kind() == Kind::String && !children.is_empty() {
            self.document.at(NodeId(children.start))
        } else {
            self
        }
    }

    /// The route from the document's root; embedded JSON adds no step of its own.
    pub fn path(self) -> Path {
        let mut steps = Vec::new();
        let mut at = self;
        while let Some(parent) = at.parent() {
            match (parent.kind(), at.key()) {
                (Kind::Object, Some(key)) => steps.push(Step::Key(key.to_owned())),
                (Kind::Array, _) => steps.push(Step::Index((at.id.0 - parent.node().children.start) as usize)),
                _ => {}
            }
            at = parent;
        }
        steps.reverse();
        Path::new(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(Source::new("t.json", text)).unwrap()
    }

    fn bytes(document: &Document, span: Span) -> Vec<&str> {
        document.ranges(span).into_iter().map(|range| &document.source().text()[range]).collect()
    }

    #[test]
    fn keys_and_values_know_their_bytes() {
        let document = parse(r#"{ "a": [1, "x\ty"], /* c */ "a": true, }"#);
        let first = document.root().members().next().unwrap();
        assert_eq!(bytes(&document, first.member_span()), [r#""a": [1, "x\ty"]"#]);
        assert_eq!(first.item(1).unwrap().as_str(), Some("x\ty"));
        assert_eq!(document.root().get("a").unwrap().as_bool(), Some(true));
        assert_eq!(document.root().get_ignoring_case("A").unwrap().path().to_string(), "a");
    }

    #[test]
    fn embedded_json_maps_through_pieces() {
        let mut document = parse(r#"{"o": "{\"Binds\":[\"/a", "o1": ":/b\"]}"}"#);
        let pieces = [document.root().get("o").unwrap().id(), document.root().get("o1").unwrap().id()];
        let root = document.embed(&pieces).unwrap();
        let bind = document.at(root).get("Binds").unwrap().item(0).unwrap();
        assert_eq!(bind.as_str(), Some("/a:/b"));
        assert_eq!(bytes(&document, bind.span()), [r#"\"/a"#, r#":/b\""#]);
        assert_eq!(bytes(&document, bind.part(3..5)), ["/b"]);
        assert_eq!(bind.path().to_string(), "o.Binds[0]");
        assert_eq!(document.path(bind.part(3..5)).to_string(), "o.Binds[0]");
        assert_eq!(document.find(&bind.path()).unwrap().id(), bind.id());
    }

    #[test]
    fn an_embedded_error_leaves_the_document_as_it_was() {
        let mut document = parse(r#"{"o": "{\"a\": }"}"#);
        let before = document.len();
        let piece = document.root().get("o").unwrap().id();
        let error = document.embed(&[piece]).unwrap_err();
        assert_eq!(document.len(), before);
        assert_eq!(&document.source().text()[error.at[0].clone()], "}");
    }

    #[test]
    fn keys_are_found_in_any_case_and_through_escapes() {
        let document = parse(r#"{"HostConfig": 1, "\u0045nv": 2, "": 3}"#);
        let found = |key| document.root().get_ignoring_case(key).and_then(At::as_i64);
        assert_eq!((found("hostCONFIG"), found("ENV"), found("")), (Some(1), Some(2), Some(3)));
        assert_eq!(document.root().get("Env").and_then(At::as_i64), Some(2));
        assert!(document.root().get("hostconfig").is_none() && found("Labels").is_none());
    }

    #[test]
    fn the_parser_sees_no_escapes_but_wrong_ones() {
        assert_eq!(readable(r#""a\"\\b\u00e9\x\u12""#), r#""a????b??????\x\u12""#);
        assert_eq!(readable("\u{feff}1"), "   1");
        assert!(matches!(readable("1"), Cow::Borrowed("1")));
        assert!(Document::parse(Source::new("t", r#"{"a": "\x"}"#)).is_err());
        assert!(Document::parse(Source::new("t", r#"{"a": \"x\"}"#)).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_whether_the_rest_is_well_or_not() {
        let message = |text: String| Document::parse(Source::new("t", text)).unwrap_err().message;
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Document::parse(Source::new("t", nested(MAX_DEPTH))).is_ok());
        assert_eq!(message(nested(129)), "brackets nest 129 deep, more than 128 are not read");
        for open in ["[", "{\"a\": "] {
            assert!(message(open.repeat(100_000)).starts_with("brackets nest 100000 deep"));
        }
    }

    #[test]
    fn a_byte_order_mark_and_half_a_pair_are_read() {
        let document = parse("\u{feff}{\"a\": \"\\ud800\"}");
        assert_eq!(document.root().get("a").unwrap().as_str(), Some("\u{fffd}"));
    }
}
