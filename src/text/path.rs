//! Symbolic places: the route of keys from the root of a document, through embedded JSON as if it were not embedded.

use std::fmt;

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The member of an object.
    Key(String),
    /// The element of an array, from 0.
    Index(usize),
}

/// A route from the root of a document. Displayed as `a.b[0]."odd key"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The path made of `steps`.
    pub fn new(steps: Vec<Step>) -> Self {
        Self(steps)
    }

    /// This path and then the member `key`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.push(Step::Key(key.into()));
        self
    }

    /// This path and then the element `index`.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Step::Index(index));
        self
    }

    /// The steps, from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// What is left of this path below `prefix`, or `None` if it does not lie below it.
    pub fn below(&self, prefix: &Path) -> Option<Path> {
        self.0.strip_prefix(prefix.0.as_slice()).map(|rest| Path(rest.to_vec()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-$".contains(c));
                    if plain { f.write_str(key)? } else { write!(f, "{}", serde_json::Value::from(key.as_str()))? }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_odd_keys_quoted() {
        let path = Path::default().key("$edgeAgent").key("properties.desired").key("Binds").index(2);
        assert_eq!(path.to_string(), "$edgeAgent.\"properties.desired\".Binds[2]");
    }

    #[test]
    fn below_strips_a_prefix() {
        let path = Path::default().key("a").key("b").index(0);
        assert_eq!(path.below(&Path::default().key("a")).unwrap().to_string(), "b[0]");
        assert_eq!(path.below(&Path::default().key("x")), None);
    }
}
