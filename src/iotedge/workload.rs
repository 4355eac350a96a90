//! A client of IoT Edge's workload API on its unix socket or HTTP address (`iotedge-protocol.md` §A2).

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::sas::{Resource, Token, encode};

/// How long one request may take. The server itself waits for other services of IoT Edge.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before a second and a third try, for answers of 500 and above.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// The longest answer, in bytes: a list of modules with all their labels is far shorter.
const MAX_BODY: usize = 1024 * 1024;

/// The workload API, asked as one module: the server looks at the process that asks, so only as ourselves.
pub struct Workload {
    server: Server,
    module: String,
    generation: String,
    api_version: String,
    last: Mutex<Option<Token>>,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
}

/// The answer to `GET /modules`. On Kubernetes the list is always empty, which says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listing {
    /// Every module of the device.
    pub modules: Vec<Sibling>,
}

/// A module of the same device as IoT Edge lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Details")]
pub struct Sibling {
    /// Its id.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The digest of its image, `sha256:…`.
    pub digest: Option<String>,
    /// The labels of its container.
    pub labels: Vec<(String, String)>,
    /// What the runtime says: `running`, `stopped` …
    pub status: String,
}

/// Why the workload API did not help.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// Nobody listens.
    #[error("cannot reach the workload API at {server}: {fault}; is this a module that IoT Edge started?")]
    Unreachable {
        /// Where.
        server: String,
        /// Why.
        fault: String,
    },
    /// It took too long, or the answer broke off.
    #[error("the workload API at {server} did not answer {request}: {fault}")]
    NoAnswer {
        /// Where.
        server: String,
        /// What was asked.
        request: String,
        /// Why.
        fault: String,
    },
    /// It said no.
    #[error("the workload API refused {request} with {status}: {message}")]
    Refused {
        /// What was asked.
        request: String,
        /// As in HTTP.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It answered something else.
    #[error("the workload API answered {request} with something else: {fault}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong.
        fault: String,
    },
}

#[derive(Deserialize)]
struct Signature {
    digest: String,
}

#[derive(Deserialize)]
struct Bundle {
    certificate: String,
}

#[derive(Deserialize)]
struct Details {
    name: String,
    config: Config,
    status: Status,
}

#[derive(Deserialize)]
struct Config {
    settings: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    runtime_status: RuntimeStatus,
}

#[derive(Deserialize)]
struct RuntimeStatus {
    status: String,
}

impl Workload {
    /// The API at `uri` (`unix:///path` or `http://host:port`), asked as the module of `resource`. Nothing is connected
    /// yet: the socket may come later.
    ///
    /// # Errors
    /// What is wrong with the URI, without the URI.
    pub fn new(uri: &str, resource: Resource, generation: String, api_version: String) -> Result<Self, String> {
        let server = Server::parse(uri)?;
        Ok(Self { server, module: resource.module, generation, api_version, last: Mutex::new(None) })
    }

    /// HMAC-SHA256 of `data` with the module's key, in base64. 5xx are tried three times in all, 4xx once.
    pub async fn sign(&self, data: &[u8]) -> Result<String, WorkloadError> {
        let path = format!("/modules/{}/genid/{}/sign", encode(&self.module), encode(&self.generation));
        let body = json!({ "keyId": "primary", "algo": "HMACSHA256", "data": STANDARD.encode(data) });
        let Signature { digest } = self.ask(&Method::POST, &path, Some(&body)).await?;
        match STANDARD.decode(&digest) {
            Ok(bytes) if bytes.len() == 32 => Ok(digest),
            _ => Err(WorkloadError::Malformed {
                request: format!("POST {path}"),
                fault: "the digest is not 32 bytes in base64".to_owned(),
            }),
        }
    }

    /// The certificates of the authorities to trust, as PEM: one or several.
    pub async fn trust_bundle(&self) -> Result<String, WorkloadError> {
        let Bundle { certificate } = self.ask(&Method::GET, "/trust-bundle", None).await?;
        Ok(certificate)
    }

    /// Every module of the device, with its labels; nothing more is in IoT Edge's list.
    pub async fn modules(&self) -> Result<Vec<Sibling>, WorkloadError> {
        let Listing { modules } = self.ask(&Method::GET, "/modules", None).await?;
        Ok(modules)
    }

    /// Remembers a token for those who cannot wait for one.
    pub(super) fn keep(&self, token: &Token) {
        if let Ok(mut last) = self.last.lock() {
            *last = Some(token.clone());
        }
    }

    #[cfg(feature = "azure-sdk")]
    pub(super) fn last_token(&self) -> Option<Token> {
        self.last.lock().ok()?.clone()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, WorkloadError> {
        let request = format!("{method} {path}");
        let mut pauses = PAUSES.iter();
        let answer = loop {
            let answer = self.exchange(method, path, body, &request).await?;
            match pauses.next() {
                Some(pause) if answer.0.is_server_error() => tokio::time::sleep(*pause).await,
                _ => break answer,
            }
        };
        let (status, body) = answer;
        if !status.is_success() {
            return Err(WorkloadError::Refused { request, status: status.as_u16(), message: message(&body) });
        }
        serde_json::from_slice(&body)
            .map_err(|error| WorkloadError::Malformed { request, fault: format!("{:?} error", error.classify()) })
    }

    /// One request on a connection of its own: the server closes it after its answer.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        request: &str,
    ) -> Result<(StatusCode, Bytes), WorkloadError> {
        let no_answer = |fault: String| WorkloadError::NoAnswer {
            server: self.server.to_string(),
            request: request.to_owned(),
            fault,
        };
        let connected = async {
            let unreachable = |error: std::io::Error| WorkloadError::Unreachable {
                server: self.server.to_string(),
                fault: error.to_string(),
            };
            match &self.server {
                Server::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?) as Stream),
                Server::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
                    Ok(Box::new(stream) as Stream)
                }
            }
        };
        let exchange = async {
            let stream = TokioIo::new(connected.await?);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.map_err(|error| no_answer(error.to_string()))?;
            let answered = async {
                let response = sender.send_request(self.request(method, path, body)?).await?;
                let status = response.status();
                let body = Limited::new(response.into_body(), MAX_BODY).collect().await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body.to_bytes()))
            };
            let mut answered = std::pin::pin!(answered);
            // The connection is driven here: nothing is left behind when the time is over.
            let outcome = tokio::select! {
                outcome = &mut answered => outcome,
                _ = connection => answered.await,
            };
            outcome.map_err(|error| no_answer(error.to_string()))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(no_answer(format!("nothing within {} s", TIMEOUT.as_secs()))))
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let host = match &self.server {
            Server::Unix(_) => "localhost".to_owned(),
            Server::Tcp { host, port } => format!("{host}:{port}"),
        };
        let uri = format!("{path}?api-version={}", encode(&self.api_version));
        let request = Request::builder().method(method).uri(uri).header(HOST, host);
        match body {
            Some(body) => {
                request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body.to_string())))
            }
            None => request.body(Full::default()),
        }
    }
}

/// The module and where it asks, without the token that it remembers.
impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("server", &self.server).field("module", &self.module).finish_non_exhaustive()
    }
}

impl Server {
    fn parse(uri: &str) -> Result<Self, String> {
        if let Some(path) = uri.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err("has no absolute path after unix://: use the runtime's own value".to_owned())
            };
        }
        let authority = uri.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let Some(authority) = authority else {
            return Err("is neither unix:// nor http://: use the runtime's own value".to_owned());
        };
        let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match port.parse() {
            Ok(port) if !host.is_empty() && !host.contains(['/', '@']) => Ok(Self::Tcp { host: host.to_owned(), port }),
            _ => Err("is no http://host:port: use the runtime's own value".to_owned()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } => write!(f, "http://{host}:{port}"),
        }
    }
}

impl From<Details> for Sibling {
    fn from(details: Details) -> Self {
        let settings = &details.config.settings;
        let text = |key: &str| settings[key].as_str().map(str::to_owned);
        let labels = settings["createOptions"]["Labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        Self {
            image: text("image").unwrap_or_default(),
            digest: text("imageHash"),
            labels: labels.collect(),
            name: details.name,
            status: details.status.runtime_status.status,
        }
    }
}

/// Either kind of stream.
type Stream = Box<dyn Duplex>;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// `{"message": …}` as the server words its errors, cut to a line.
fn message(body: &[u8]) -> String {
    let message =
        serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| "no reason given".to_owned());
    message.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_uri_are_read() {
        assert_eq!(Server::parse("unix:///run/w.sock"), Ok(Server::Unix("/run/w.sock".into())));
        let tcp = |host: &str, port| Ok(Server::Tcp { host: host.to_owned(), port });
        assert_eq!(Server::parse("http://127.0.0.1:8081/"), tcp("127.0.0.1", 8081));
        assert_eq!(Server::parse("http://[::1]:8081"), tcp("::1", 8081));
        assert_eq!(Server::parse("http://host"), tcp("host", 80));
        for uri in ["", "unix://relative", "https://a", "http://", "http://a:b", "http://u@h:1", "http://a/b:1"] {
            assert!(Server::parse(uri).is_err(), "{uri}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_missing_is_named_with_a_way_out() {
        let resource = Resource { hub: "h".into(), device: "d".into(), module: "m".into() };
        let workload = Workload::new("unix:///nowhere.sock", resource, "1".into(), "2022-08-03".into()).unwrap();
        let error = workload.trust_bundle().await.unwrap_err().to_string();
        let expected = "cannot reach the workload API at unix:///nowhere.sock: No such file";
        assert!(error.starts_with(expected) && error.ends_with("is this a module that IoT Edge started?"), "{error}");
    }
}
