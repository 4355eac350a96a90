//! A private CA and the certificate of a gateway that it signed, made anew for every device.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// What a TLS server of the device needs, and what its clients trust.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The CA as PEM text.
    pub(super) authority: String,
    /// TLS 1.2 and 1.3 with the gateway's certificate; no client certificate is asked for.
    pub(super) server: ServerConfig,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The name of the gateway is none.
    #[error("cannot make the certificate of the gateway: {0}")]
    Made(#[from] rcgen::Error),
    /// TLS does not take what was made.
    #[error("cannot serve TLS with the certificate of the gateway: {0}")]
    Served(#[from] rustls::Error),
}

impl Certificates {
    /// A new CA, and a certificate for `gateway`, `localhost` and this machine's own addresses.
    pub(super) fn make(gateway: &str) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "EdgeShift embedded device CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut names = vec![gateway.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        names.dedup();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, gateway);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;

        let chain = vec![certificate.der().clone(), authority.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let server = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self { authority: authority.pem(), server })
    }
}
