//! One look at one place of the network: a name, a port, TLS, a page. The caller bounds the time.

use std::io::ErrorKind;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderMap};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::evidence::{Observed, Why};

/// The longest page that is read, bytes. edgeHub's metrics are a tenth of that.
const MAX_PAGE: usize = 1024 * 1024;

/// A page.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The addresses of `host`.
pub(super) async fn addresses(host: &str) -> Observed<Vec<String>> {
    match lookup_host((host, 0)).await {
        Ok(found) => {
            let mut addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            addresses.sort();
            addresses.dedup();
            if addresses.is_empty() { Observed::Absent } else { Observed::Known(addresses) }
        }
        // The resolver's own words; Rust has no kind for them.
        Err(error) if is_no_such_name(&error.to_string()) => Observed::Absent,
        Err(error) => Observed::Unknown(Why::failed(format!("cannot look up {host}: {error}"))),
    }
}

/// Whether the words of `getaddrinfo` mean that there is no such name, and not that nobody could be asked.
fn is_no_such_name(words: &str) -> bool {
    ["Name or service not known", "No address associated", "nodename nor servname"].iter().any(|no| words.contains(no))
}

/// Whether somebody takes connections; absent where nobody listens.
pub(super) async fn port(host: &str, port: u16) -> Observed<()> {
    match TcpStream::connect((host, port)).await {
        Ok(_) => Observed::Known(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Observed::Absent,
        Err(error) => Observed::Unknown(Why::failed(format!("cannot connect to {host}:{port}: {}", error.kind()))),
    }
}

/// TLS over `stream`. The certificate is not judged: nothing is sent that anybody could use, and with a clock that is
/// wrong, which is one of the things to find out, no certificate is good.
pub(super) async fn tls(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, String> {
    let provider = Arc::new(ring::default_provider());
    let anybody = Arc::new(Anybody(provider.signature_verification_algorithms));
    let config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(anybody)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no host name"))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| match error.get_ref() {
        Some(inner) => one_line(&inner.to_string()),
        None => error.kind().to_string(),
    })
}

/// The page at `path`.
pub(super) async fn page(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    path: &str,
) -> Result<Page, String> {
    let request = Request::get(path).header(HOST, host).header(CONNECTION, "close").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let failed = |error: hyper::Error| one_line(&error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_PAGE).collect().await.map_err(|error| one_line(&error.to_string()))?;
        Ok(Page { status: head.status, headers: head.headers, body: body.to_bytes() })
    };
    let mut answered = std::pin::pin!(answered);
    // The connection is driven here: nothing is left behind when the time is over.
    tokio::select! {
        outcome = &mut answered => outcome,
        _ = connection => answered.await,
    }
}

/// Somebody else's words, on one line, cut where they are long.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Takes every certificate of whoever has its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
