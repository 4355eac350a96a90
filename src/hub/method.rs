//! Direct methods: a name and a JSON payload in, a status and a JSON payload out.

use serde_json::{Value, json};

/// The largest answer, in bytes (`iothub-limits.md` §3).
pub const MAX_PAYLOAD: usize = 128 * 1024;

/// A method that somebody invokes on the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Which one.
    pub name: String,
    /// With what; `null` where nothing was given.
    pub payload: Value,
}

/// Our answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// 200, or as in HTTP why not.
    pub status: u16,
    /// The result, or `{"error": …}`.
    pub payload: Value,
}

impl Response {
    /// Done.
    pub fn ok(payload: Value) -> Self {
        if payload.to_string().len() > MAX_PAYLOAD {
            return Self::error(413, "the answer is longer than 128 KB; ask for less");
        }
        Self { status: 200, payload }
    }

    /// Not done, and why.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self { status, payload: json!({ "error": message }) }
    }
}
