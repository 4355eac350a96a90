//! Reads values of a document as the agent's JSON library reads them: property names without regard to case, unknown ones
//! dropped, numbers and booleans also in strings, text also from numbers (`k8s-translation.md` §2). A wrong shape is an
//! error that knows its place.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Visitor};
use serde::forward_to_deserialize_any;

use crate::text::{At, Kind, NodeId};

/// What is wrong with a value, and where.
#[derive(Debug)]
pub(crate) struct ShapeError {
    pub(crate) message: String,
    /// The innermost value that does not fit.
    pub(crate) node: Option<NodeId>,
}

/// Reads `at` as a `T`.
///
/// # Errors
/// It has another shape.
pub(crate) fn read<T: DeserializeOwned>(at: At<'_>) -> Result<T, ShapeError> {
    T::deserialize(Lenient(at))
}

#[derive(Clone, Copy)]
struct Lenient<'m>(At<'m>);

impl Lenient<'_> {
    fn wrong(self, expected: &str) -> ShapeError {
        ShapeError { message: format!("is {}, not {expected}", word(self.0)), node: Some(self.0.id()) }
    }

    fn placed<T>(self, result: Result<T, ShapeError>) -> Result<T, ShapeError> {
        result.map_err(|error| ShapeError { node: error.node.or(Some(self.0.id())), ..error })
    }

    fn integer(self) -> Result<i64, ShapeError> {
        let number = self.0.as_text().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| self.wrong("a whole number"))
    }
}

/// What a value is, for people.
pub(crate) fn word(at: At<'_>) -> &'static str {
    match at.kind() {
        Kind::Null => "null",
        Kind::Bool(_) => "a boolean",
        Kind::Number => "a number",
        Kind::String => "text",
        Kind::Array => "a list",
        Kind::Object => "an object",
    }
}

impl<'m> de::Deserializer<'m> for Lenient<'m> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0.kind() {
            Kind::Null => self.placed(visitor.visit_unit()),
            Kind::Bool(value) => self.placed(visitor.visit_bool(value)),
            Kind::Number => match self.integer() {
                Ok(number) => self.placed(visitor.visit_i64(number)),
                Err(_) => self.placed(visitor.visit_f64(self.0.raw().parse().unwrap_or(f64::NAN))),
            },
            Kind::String => self.placed(visitor.visit_borrowed_str(self.0.as_str().unwrap_or_default())),
            Kind::Array => self.deserialize_seq(visitor),
            Kind::Object => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let value = self.0.as_bool().ok_or_else(|| self.wrong("a boolean"))?;
        self.placed(visitor.visit_bool(value))
    }

    fn deserialize_i32<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i64<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.placed(visitor.visit_i64(self.integer()?))
    }

    fn deserialize_str<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let text = self.0.as_text().ok_or_else(|| self.wrong("text"))?;
        self.placed(visitor.visit_borrowed_str(text))
    }

    fn deserialize_string<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.0.kind() {
            Kind::Null => self.placed(visitor.visit_none()),
            _ => self.placed(visitor.visit_some(self)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'m>>(self, _: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        self.placed(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.0.kind() != Kind::Array {
            return Err(self.wrong("a list"));
        }
        self.placed(visitor.visit_seq(Items(self.0.items())))
    }

    fn deserialize_map<V: Visitor<'m>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.0.kind() != Kind::Object {
            return Err(self.wrong("an object"));
        }
        let members = self.0.members().filter_map(|at| Some((at.key()?, at))).collect();
        self.placed(visitor.visit_map(Members { members, next: 0 }))
    }

    fn deserialize_struct<V: Visitor<'m>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        if self.0.kind() != Kind::Object {
            return Err(self.wrong("an object"));
        }
        // Of two spellings the later wins, as with two values.
        let known = fields.iter().filter_map(|field| Some((*field, self.0.get_ignoring_case(field)?)));
        self.placed(visitor.visit_map(Members { members: known.collect(), next: 0 }))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'m>>
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

struct Items<I>(I);

impl<'m, I: Iterator<Item = At<'m>>> de::SeqAccess<'m> for Items<I> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'m>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        self.0.next().map(|at| seed.deserialize(Lenient(at))).transpose()
    }
}

struct Members<'m> {
    members: Vec<(&'m str, At<'m>)>,
    next: usize,
}

impl<'m> de::MapAccess<'m> for Members<'m> {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'m>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        let Some((key, _)) = self.members.get(self.next) else { return Ok(None) };
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'m>>(&mut self, seed: V) -> Result<V::Value, ShapeError> {
        let Some((_, at)) = self.members.get(self.next) else {
            return Err(de::Error::custom("has no value for its key"));
        };
        self.next += 1;
        seed.deserialize(Lenient(*at))
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), node: None }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ResourceRequirements, Volume, VolumeMount};

    use super::*;
    use crate::text::{Document, Source};

    fn from<T: DeserializeOwned>(text: &str) -> Result<T, ShapeError> {
        read(Document::parse(Source::new("t", text)).unwrap().root())
    }

    #[test]
    fn names_have_no_case_and_values_may_be_strings() {
        let volume: Volume =
            from(r#"{"NAME": "v", "configmap": {"defaultMode": "420", "optional": "true"}, "x": 1}"#).unwrap();
        assert_eq!(volume.name, "v");
        let map = volume.config_map.unwrap();
        assert_eq!((map.default_mode, map.optional), (Some(420), Some(true)));
        let resources: ResourceRequirements = from(r#"{"limits": {"nvidia.com/gpu": 2, "cpu": "1"}}"#).unwrap();
        assert_eq!(resources.limits.unwrap()["nvidia.com/gpu"].0, "2");
    }

    #[test]
    fn a_wrong_shape_says_where() {
        let text = r#"{"name": "v", "readOnly": {}}"#;
        let document = Document::parse(Source::new("t", text)).unwrap();
        let error = read::<VolumeMount>(document.root()).unwrap_err();
        assert_eq!(error.to_string(), "is an object, not a boolean");
        assert_eq!(document.at(error.node.unwrap()).path().to_string(), "readOnly");
        assert!(from::<Vec<String>>(r#""text""#).is_err() && from::<Vec<String>>(r#"["a", 1]"#).is_ok());
    }
}
