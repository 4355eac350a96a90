//! Nodes and values back to text. Numbers keep their digits, objects their order and their duplicate keys.

use serde::{Serialize, Serializer};
use serde_json::{Number, Value};

use super::tree::{At, Kind};

/// A node on one line without blanks, as createOptions are stored in a twin.
pub fn compact(at: At<'_>) -> String {
    let mut out = String::new();
    write(at, &mut out, None);
    out
}

/// A node over several lines, indented by two blanks a level; embedded JSON is written as the string it stands in.
pub fn pretty(at: At<'_>) -> String {
    let mut out = String::new();
    write(at, &mut out, Some(0));
    out
}

/// The most members of an object that are compared with each other.
const FEW: usize = 32;

/// A node that is written as its [`value`] is, without making one; a number that no value can be is `null`.
pub struct Written<'d>(pub At<'d>);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self.0;
        match at.kind() {
            Kind::Null => serializer.serialize_unit(),
            Kind::Bool(value) => serializer.serialize_bool(value),
            Kind::Number => at.raw().parse::<Number>().ok().serialize(serializer),
            Kind::String => serializer.serialize_str(at.as_str().unwrap_or_default()),
            Kind::Array => serializer.collect_seq(at.items().map(Written)),
            Kind::Object if at.members().len() > FEW => value(at).serialize(serializer),
            Kind::Object => {
                let mut members: Vec<(&str, Written<'_>)> = Vec::with_capacity(at.members().len());
                for member in at.members() {
                    let Some(key) = member.key() else { continue };
                    match members.iter_mut().find(|(own, _)| *own == key) {
                        Some((_, there)) => *there = Written(member),
                        None => members.push((key, Written(member))),
                    }
                }
                serializer.collect_map(members)
            }
        }
    }
}

/// A node as a value. Of two members with one key the later wins. `None` for a number that no value can be.
pub fn value(at: At<'_>) -> Option<Value> {
    Some(match at.kind() {
        Kind::Null => Value::Null,
        Kind::Bool(value) => value.into(),
        Kind::Number => Value::Number(at.raw().parse().ok()?),
        Kind::String => at.as_str()?.into(),
        Kind::Array => Value::Array(at.items().map(value).collect::<Option<_>>()?),
        Kind::Object => {
            let member = |at: At<'_>| Some((at.key()?.to_owned(), value(at)?));
            Value::Object(at.members().map(member).collect::<Option<_>>()?)
        }
    })
}

fn write(at: At<'_>, out: &mut String, level: Option<usize>) {
    let (open, close) = match at.kind() {
        Kind::Object => ('{', '}'),
        Kind::Array => ('[', ']'),
        Kind::String => return out.push_str(&quoted(at.as_str().unwrap_or_default())),
        Kind::Null | Kind::Bool(_) | Kind::Number => return out.push_str(at.raw()),
    };
    let children: Vec<At<'_>> = if at.kind() == Kind::Array { at.items().collect() } else { at.members().collect() };
    out.push(open);
    let inner = level.map(|level| level + 1);
    for (i, child) in children.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        line(out, inner);
        if let Some(key) = child.key() {
            out.push_str(&quoted(key));
            out.push_str(if level.is_some() { ": " } else { ":" });
        }
        write(*child, out, inner);
    }
    if !children.is_empty() {
        line(out, level);
    }
    out.push(close);
}

fn line(out: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    }
}

/// `text` as a JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A value as a person would write it into a file: on one line where that is short, else over several, each after
/// the first indented by `indent` and a `unit` per level.
pub(super) fn by_hand(value: &Value, indent: &str, unit: &str) -> String {
    let inline = inline(value);
    if inline.len() <= 88 {
        return inline;
    }
    let deeper = format!("{indent}{unit}");
    let (open, close, parts): (_, _, Vec<String>) = match value {
        Value::Array(items) => ('[', ']', items.iter().map(|item| by_hand(item, &deeper, unit)).collect()),
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), by_hand(value, &deeper, unit));
            ('{', '}', members.iter().map(member).collect())
        }
        _ => return inline,
    };
    format!("{open}\n{deeper}{}\n{indent}{close}", parts.join(&format!(",\n{deeper}")))
}

/// A value on one line, with blanks as a person sets them.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| format!("{}: {}", quoted(key), inline(value));
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Source};
    use super::*;

    #[test]
    fn a_value_is_what_its_text_says() {
        let text = r#"{"b": 1.50, "n": [null, -0, 1e3, true], "a": 1, "a": {"x": "\u00e9\n"}, "": []}"#;
        let document = Document::parse(Source::new("t", text)).unwrap();
        let read: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value(document.root()).unwrap().to_string(), read.to_string());
        assert_eq!(serde_json::to_string(&Written(document.root())).unwrap(), read.to_string());
        let document = Document::parse(Source::new("t", "[1e999]")).unwrap();
        assert_eq!(value(document.root()), None);
        assert_eq!(serde_json::to_string(&Written(document.root())).unwrap(), "[null]");
    }

    #[test]
    fn many_members_are_written_as_few_are() {
        let members: Vec<String> = (0..FEW * 2).map(|i| format!(r#""k{}":{i}"#, i % (FEW + 1))).collect();
        let text = format!("{{{}}}", members.join(","));
        let document = Document::parse(Source::new("t", text.as_str())).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&Written(document.root())).unwrap(), read.to_string());
    }

    #[test]
    fn numbers_order_and_duplicates_stay() {
        let text = r#"{"b":1.50,"a":[],"a":{"x":"\u00e9"}}"#;
        let document = Document::parse(Source::new("t", text)).unwrap();
        assert_eq!(compact(document.root()), r#"{"b":1.50,"a":[],"a":{"x":"é"}}"#);
        assert_eq!(pretty(document.root()), "{\n  \"b\": 1.50,\n  \"a\": [],\n  \"a\": {\n    \"x\": \"é\"\n  }\n}");
    }
}
