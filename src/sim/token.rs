//! Keys, and SAS tokens as edgeHub and IoT Hub check them (`iotedge-protocol.md` §A3).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// A symmetric key of 32 bytes, which is never shown by mistake.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// A token as a client presents it.
pub(super) struct Token {
    /// What is signed: the resource, percent-encoded as it came, and the expiry.
    signed: String,
    signature: Vec<u8>,
    /// What the token is good for, decoded.
    pub(super) resource: String,
    /// Seconds since 1970.
    pub(super) expiry: u64,
    /// The shared access policy; services have one, modules none.
    pub(super) policy: Option<String>,
}

impl Key {
    /// A new key; an error where the system has no random numbers.
    pub(super) fn generate() -> Result<Self, ring::error::Unspecified> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The key of `text`; `None` where that is no base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As connection strings carry it.
    pub(super) fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    /// HMAC-SHA256 of `data`.
    pub(super) fn sign(&self, data: &[u8]) -> Vec<u8> {
        hmac::sign(&self.hmac(), data).as_ref().to_vec()
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Token {
    /// Reads `SharedAccessSignature sr=…&sig=…&se=…[&skn=…]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields = text.strip_prefix("SharedAccessSignature ")?;
        let field = |name: &str| {
            fields.split('&').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(Cow::into_owned);
        let (resource, expiry) = (field("sr")?, field("se")?);
        Some(Self {
            signed: format!("{resource}\n{expiry}"),
            signature: BASE64_STANDARD.decode(decoded(field("sig")?)?).ok()?,
            resource: decoded(resource)?,
            expiry: expiry.parse().ok()?,
            policy: field("skn").map(str::to_owned),
        })
    }

    /// Whether `key` signed it. Compares in constant time.
    pub(super) fn is_signed_with(&self, key: &Key) -> bool {
        hmac::verify(&key.hmac(), self.signed.as_bytes(), &self.signature).is_ok()
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the system's clock, which the clients read too")]
pub(super) fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_key() {
        let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
        assert_eq!(format!("{key:?}"), "Key(…)");
        let signature = BASE64_STANDARD.encode(key.sign(b"hub%2Fdevices%2Fd\n123"));
        let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let text = format!("SharedAccessSignature sr=hub%2Fdevices%2Fd&sig={signature}&se=123&skn=service");
        let token = Token::parse(&text).unwrap();
        assert_eq!((token.resource.as_str(), token.expiry), ("hub/devices/d", 123));
        assert_eq!(token.policy.as_deref(), Some("service"));
        assert!(token.is_signed_with(&key) && !token.is_signed_with(&other));
        assert!(!Token::parse(&text.replace("se=123", "se=124")).unwrap().is_signed_with(&key));
        let again = Key::from_base64(&key.to_base64()).unwrap();
        assert!(token.is_signed_with(&again));
    }

    #[test]
    fn what_is_no_token_does_not_read() {
        for text in ["", "Bearer x", "SharedAccessSignature sr=a&sig=%%%&se=1", "SharedAccessSignature sr=a&se=1"] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }
}
