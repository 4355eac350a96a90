//! A text that is handed to the module in its desired properties, where one value has at most 4 KB
//! (`iothub-limits.md` §1.1): whole, or in pieces.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The text, joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "String")]
pub struct Handed(String);

/// How it may be written.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Form {
    /// Whole.
    Whole(String),
    /// In pieces.
    Pieces(Vec<String>),
    /// In pieces with numbers for keys: twins had no arrays for long.
    Numbered(BTreeMap<String, String>),
}

impl Handed {
    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Form> for Handed {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Ok(Self(match form {
            Form::Whole(text) => text,
            Form::Pieces(pieces) => pieces.concat(),
            Form::Numbered(pieces) => {
                let pieces = in_order(pieces);
                pieces.map_err(|key| format!("the keys of pieces are numbers, `{key}` is none"))?.concat()
            }
        }))
    }
}

/// The values of an object that stands for a list, in the order of its keys; else the first key that is no number.
pub(super) fn in_order<T>(members: impl IntoIterator<Item = (String, T)>) -> Result<Vec<T>, String> {
    let numbered = members.into_iter().map(|(key, value)| match key.parse::<u32>() {
        Ok(number) => Ok((number, value)),
        Err(_) => Err(key),
    });
    Ok(numbered.collect::<Result<BTreeMap<u32, T>, _>>()?.into_values().collect())
}

impl From<Handed> for String {
    fn from(handed: Handed) -> Self {
        handed.0
    }
}

impl JsonSchema for Handed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Handed".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Form::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pieces_are_joined_in_order() {
        for form in [json!("abc"), json!(["a", "b", "c"]), json!({ "10": "c", "9": "b", "0": "a" })] {
            let handed: Handed = serde_json::from_value(form).unwrap();
            assert_eq!(handed.text(), "abc");
        }
        assert!(serde_json::from_value::<Handed>(json!({ "x": "a" })).is_err());
    }
}
