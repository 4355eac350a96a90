//! The credentials of `azure_iot_sdk`: it signs for connection strings, and our workload API is a token source for it
//! (`docs/decisions/0001-azure-iot-sdk.md`).

use std::fmt;
use std::time::{Duration, SystemTime};

use azure_iot_sdk::token::{DeviceKeyTokenSource, TokenSource};
use chrono::{DateTime, Utc};
use jiff::Timestamp;

use super::credentials::{CaFile, Credentials, CredentialsError, Pending};
use super::sas::{Key, Resource, Token, encode};
use super::workload::Workload;

/// Signs with a key through `azure_iot_sdk`.
#[derive(Clone)]
pub struct SdkCredentials {
    key: Key,
    trust: CaFile,
}

impl SdkCredentials {
    /// Signs with `key` and trusts whom `trust` names.
    pub fn new(key: Key, trust: CaFile) -> Self {
        Self { key, trust }
    }

    fn sign(&self, resource: &Resource, expiry: Timestamp) -> Result<Token, CredentialsError> {
        let Resource { hub, device, module } = resource;
        // It writes `{hub}%2Fdevices%2F{device}` as it is given: with the module in the place of the device that is a
        // module's resource (`iotedge-protocol.md` §D3).
        let device = format!("{}%2Fmodules%2F{}", encode(device), encode(module));
        let source = DeviceKeyTokenSource::new(&encode(hub), &device, self.key.secret())
            .map_err(|_| CredentialsError::Key("azure_iot_sdk does not take it"))?;
        let since_epoch = u64::try_from(expiry.as_second()).unwrap_or_default();
        let expiry: DateTime<Utc> = (SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch)).into();
        Ok(Token::of(source.get(&expiry)))
    }
}

impl fmt::Debug for SdkCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkCredentials").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Credentials for SdkCredentials {
    fn token<'a>(&'a self, resource: &'a Resource, expiry: Timestamp) -> Pending<'a, Token> {
        Box::pin(std::future::ready(self.sign(resource, expiry)))
    }

    fn trust(&self) -> Pending<'_, String> {
        Box::pin(self.trust.read())
    }
}

/// The token that was signed last: the trait cannot wait for another one, so whoever hands this on signs first. Empty
/// before that, which every hub refuses.
impl TokenSource for Workload {
    fn get(&self, _: &DateTime<Utc>) -> String {
        self.last_token().map(|token| token.secret().to_owned()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::credentials::KeyCredentials;
    use super::*;

    proptest! {
        #[test]
        fn both_signers_make_the_same_token(
            key in proptest::collection::vec(any::<u8>(), 0..100), hub in "[a-z0-9.-]{1,40}",
            ids in ("[ -~é]{1,40}", "[ -~é]{1,40}"), expiry in 0_i64..4_000_000_000
        ) {
            let key = Key::parse(&STANDARD.encode(key)).unwrap();
            let resource = Resource { hub, device: ids.0, module: ids.1 };
            let expiry = Timestamp::from_second(expiry).unwrap();
            let trust = CaFile::new("none");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sdk = SdkCredentials::new(key.clone(), trust.clone());
            let own = KeyCredentials::new(key, trust);
            let sdk = runtime.block_on(sdk.token(&resource, expiry)).unwrap();
            let own = runtime.block_on(own.token(&resource, expiry)).unwrap();
            prop_assert_eq!(sdk.secret(), own.secret());
        }
    }
}
