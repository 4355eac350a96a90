//! A certificate authority as an edge device has one, made for one test.

use std::sync::Arc;

use edgeshift::iotedge::{Credentials, Identity, KeyCredentials, Pending, Resource, Token};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A key of nobody.
pub(crate) const KEY: &str = "YSBrZXkgb2Ygbm9ib2R5LCBnb29kIGZvciBhIHRlc3Q=";

/// An authority, its certificate, and what it issued for `localhost`.
pub(crate) struct Authority {
    pub(crate) pem: String,
    /// Certificate and key of the server, as PEM.
    pub(crate) server: (String, String),
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Self { pem, server: (leaf.pem(), key.serialize_pem()) }
    }
}

/// The identity of module `edge01/shift` behind the gateway `localhost`.
pub(crate) fn identity() -> Identity {
    let text = format!(
        "HostName=h.azure-devices.net;GatewayHostName=localhost;DeviceId=edge01;ModuleId=shift;SharedAccessKey={KEY}"
    );
    let variable = |name: &str| match name {
        "EdgeHubConnectionString" => Some(text.clone()),
        "EdgeModuleCACertificateFile" => Some("/nowhere".to_owned()),
        _ => None,
    };
    Identity::from_variables(variable).unwrap()
}

/// Signs with [`KEY`] and trusts what a test puts in, one bundle after the other; the last one stays.
pub(crate) struct TestCredentials {
    own: KeyCredentials,
    bundles: std::sync::Mutex<Vec<String>>,
    /// When each token that was signed expires, in the order of signing.
    pub(crate) signed: std::sync::Mutex<Vec<Timestamp>>,
}

impl TestCredentials {
    pub(crate) fn new<const N: usize>(bundles: [&str; N]) -> Arc<Self> {
        let identity = identity();
        let edgeshift::iotedge::Proof::Key(key, file) = identity.proof else { unreachable!() };
        let mut bundles = bundles.map(str::to_owned).to_vec();
        bundles.reverse();
        Arc::new(Self { own: KeyCredentials::new(key, file), bundles: bundles.into(), signed: Vec::new().into() })
    }
}

impl Credentials for TestCredentials {
    fn token<'a>(&'a self, resource: &'a Resource, expiry: Timestamp) -> Pending<'a, Token> {
        self.signed.lock().unwrap().push(expiry);
        self.own.token(resource, expiry)
    }

    fn trust(&self) -> Pending<'_, String> {
        let mut bundles = self.bundles.lock().unwrap();
        let bundle = if bundles.len() > 1 { bundles.pop().unwrap() } else { bundles[0].clone() };
        Box::pin(std::future::ready(Ok(bundle)))
    }
}
