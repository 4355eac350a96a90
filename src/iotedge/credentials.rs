//! What a connection to edgeHub needs: a token, and the authorities to trust.

use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;

use jiff::Timestamp;
use thiserror::Error;

use super::sas::{Key, Resource, Token};
use super::workload::{Workload, WorkloadError};

/// More than any bundle of certificates, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Signs, and says whom to trust. Both are asked anew for every connection, so that authorities can be replaced.
pub trait Credentials: Send + Sync {
    /// A token for `resource` that expires at `expiry`.
    fn token<'a>(&'a self, resource: &'a Resource, expiry: Timestamp) -> Pending<'a, Token>;

    /// The certificates of the authorities to trust, as PEM.
    fn trust(&self) -> Pending<'_, String>;
}

/// An answer on its way.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, CredentialsError>> + Send + 'a>>;

/// Why there is no token, or nobody to trust.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// The workload API did not help.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The file with the authorities cannot be read.
    #[error("cannot read {} of EdgeModuleCACertificateFile: {fault}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        fault: String,
    },
    /// The key does not sign.
    #[error("the SharedAccessKey of the connection string cannot be used: {0}")]
    Key(&'static str),
}

/// A PEM file with the authorities to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile(PathBuf);

/// Our own signer with a key.
#[derive(Debug, Clone)]
pub struct KeyCredentials {
    key: Key,
    trust: CaFile,
}

impl CaFile {
    /// The file at `path`, read when it is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The text of the file.
    ///
    /// # Errors
    /// It cannot be read, is no text, or is larger than 1 MB.
    pub async fn read(&self) -> Result<String, CredentialsError> {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let fault = match read {
            Ok(Ok(text)) if text.len() as u64 <= MAX_FILE => return Ok(text),
            Ok(Ok(_)) => "it is larger than 1 MB".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Err(CredentialsError::File { path: self.0.clone(), fault })
    }
}

impl KeyCredentials {
    /// Signs with `key` and trusts whom `trust` names.
    pub fn new(key: Key, trust: CaFile) -> Self {
        Self { key, trust }
    }
}

impl Credentials for KeyCredentials {
    fn token<'a>(&'a self, resource: &'a Resource, expiry: Timestamp) -> Pending<'a, Token> {
        let token = resource.token(&self.key.sign(&resource.to_sign(expiry)), expiry);
        Box::pin(std::future::ready(Ok(token)))
    }

    fn trust(&self) -> Pending<'_, String> {
        Box::pin(self.trust.read())
    }
}

impl Credentials for Workload {
    fn token<'a>(&'a self, resource: &'a Resource, expiry: Timestamp) -> Pending<'a, Token> {
        Box::pin(async move {
            let digest = self.sign(resource.to_sign(expiry).as_bytes()).await?;
            let token = resource.token(&digest, expiry);
            self.keep(&token);
            Ok(token)
        })
    }

    fn trust(&self) -> Pending<'_, String> {
        Box::pin(async { Ok(self.trust_bundle().await?) })
    }
}

#[expect(clippy::disallowed_methods, reason = "the file that a developer names, up to a limit")]
fn read(path: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_missing_is_named() {
        let error = CaFile::new("/nowhere/ca.pem").read().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot read /nowhere/ca.pem of EdgeModuleCACertificateFile: No such"), "{error}");
    }

    #[tokio::test]
    async fn a_file_without_end_is_refused() {
        let error = CaFile::new("/dev/zero").read().await.unwrap_err().to_string();
        assert!(error.ends_with("it is larger than 1 MB"), "{error}");
    }
}
