//! Shared access signatures as text, and a key that makes them (`iotedge-protocol.md` §A3).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use thiserror::Error;

/// Everything but `A-Za-z0-9_.-~`, in upper-case hex.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// What a token gives access to: a module's own place in an IoT Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Host name of the IoT Hub.
    pub hub: String,
    /// The edge device.
    pub device: String,
    /// The module.
    pub module: String,
}

/// A token. It is as good as a password while it lives, so it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A key that signs. It does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    #[cfg(feature = "azure-sdk")]
    text: String,
    bytes: Vec<u8>,
}

/// Why a text is no key. The text is not in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the key is not base64")]
pub struct KeyError;

impl Resource {
    /// What is signed for a token that expires at `expiry`.
    pub fn to_sign(&self, expiry: Timestamp) -> String {
        format!("{}\n{}", self.encoded(), expiry.as_second())
    }

    /// The token with a signature of [`Resource::to_sign`], given in base64.
    pub fn token(&self, signature: &str, expiry: Timestamp) -> Token {
        let (resource, signature) = (self.encoded(), encode(signature));
        Token(format!("SharedAccessSignature sr={resource}&sig={signature}&se={}", expiry.as_second()))
    }

    fn encoded(&self) -> String {
        let Self { hub, device, module } = self;
        encode(&format!("{hub}/devices/{device}/modules/{module}"))
    }
}

impl Token {
    /// The token itself, for the password of a connection and nothing else.
    pub fn secret(&self) -> &str {
        &self.0
    }

    #[cfg(feature = "azure-sdk")]
    pub(super) fn of(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Key {
    /// Reads a key as connection strings carry it, in base64.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text).map_err(|_| KeyError)?;
        Ok(Self {
            #[cfg(feature = "azure-sdk")]
            text: text.to_owned(),
            bytes,
        })
    }

    /// HMAC-SHA256 of `text` in base64.
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes), text.as_bytes()))
    }

    #[cfg(feature = "azure-sdk")]
    pub(super) fn secret(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// `text` as it stands in the parts of a token.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        Resource { hub: "h.azure-devices.net".into(), device: "edge 01".into(), module: "$m".into() }
    }

    #[test]
    fn a_token_is_encoded_throughout() {
        let expiry = Timestamp::from_second(1_795_541_117).unwrap();
        let sr = "h.azure-devices.net%2Fdevices%2Fedge%2001%2Fmodules%2F%24m";
        assert_eq!(resource().to_sign(expiry), format!("{sr}\n1795541117"));
        let token = resource().token("a/b+c=", expiry);
        assert_eq!(token.secret(), format!("SharedAccessSignature sr={sr}&sig=a%2Fb%2Bc%3D&se=1795541117"));
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        // Test case 2 of RFC 4231.
        let key = Key::parse(&STANDARD.encode("Jefe")).unwrap();
        let signature = STANDARD.decode(key.sign("what do ya want for nothing?")).unwrap();
        let expected = 0x5bdc_c146_bf60_754e_6a04_2426_0895_75c7_u128.to_be_bytes();
        assert_eq!(signature[..16], expected);
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let key = Key::parse("c2VjcmV0").unwrap();
        let token = resource().token("c2lnbmF0dXJl", Timestamp::UNIX_EPOCH);
        let shown = format!("{key:?} {token:?}");
        assert!(!shown.contains("c2"), "{shown}");
        assert_eq!(Key::parse("no key!"), Err(KeyError));
    }
}
