//! The workload API of a module's own socket, as aziot-edged 1.6 answers it: signs, hands out the trust bundle, lists
//! modules (`iotedge-protocol.md` §A2). Encryption and certificates for modules are not played: 404.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Device;
use super::token::Key;

/// What the server takes as `api-version` (§A2).
const VERSIONS: [&str; 7] =
    ["2018-06-28", "2019-01-30", "2019-10-22", "2019-11-05", "2020-07-07", "2021-12-07", "2022-08-03"];

/// What stands behind the socket of one module.
#[derive(Debug)]
pub(super) struct Workload {
    /// Who may sign here: the caller is known by the socket.
    pub(super) module: String,
    pub(super) key: Key,
    /// PEM text.
    pub(super) trust_bundle: Arc<str>,
    /// What the list shows; nothing on Kubernetes.
    pub(super) listed: Option<Device>,
}

#[derive(Deserialize)]
struct SignRequest {
    data: String,
}

/// What a request is refused with.
struct Refusal(StatusCode, String);

impl Workload {
    /// The API.
    pub(super) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    fn respond(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        let refuse = |status, message: &str| Refusal(status, message.to_owned());
        let parameters = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        match parameters.filter(|(name, _)| *name == "api-version").map(|(_, value)| value).next_back() {
            None => return Err(refuse(StatusCode::BAD_REQUEST, "api-version not specified")),
            Some(version) if !VERSIONS.contains(&version) => {
                return Err(Refusal(StatusCode::BAD_REQUEST, format!("invalid api-version \"{version}\"")));
            }
            Some(_) => {}
        }
        let segments = uri.path().trim_start_matches('/').split('/');
        let segments: Vec<_> = segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy()).collect();
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match (method.as_str(), segments.as_slice()) {
            ("GET", ["trust-bundle"]) => Ok(json!({ "certificate": *self.trust_bundle })),
            ("GET", ["manifest-trust-bundle"]) => Ok(json!({ "certificate": "" })),
            ("GET", ["modules"]) => {
                Ok(json!({ "modules": self.listed.as_ref().map(Device::listed).unwrap_or_default() }))
            }
            // The generation is not looked at.
            ("POST", ["modules", module, "genid", _, "sign"]) => {
                if *module != self.module {
                    return Err(refuse(StatusCode::FORBIDDEN, "forbidden"));
                }
                self.sign(headers, body)
            }
            _ => Err(refuse(StatusCode::NOT_FOUND, "not found")),
        }
    }

    fn sign(&self, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
        let content = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        if body.is_empty() || content.is_some_and(|content| !content.starts_with("application/json")) {
            return Err(Refusal(StatusCode::BAD_REQUEST, "missing parameter: request body".to_owned()));
        }
        let SignRequest { data } = serde_json::from_slice(body)
            .map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
        let data = BASE64_STANDARD
            .decode(data)
            .map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("invalid parameter: {error}")))?;
        Ok(json!({ "digest": BASE64_STANDARD.encode(self.key.sign(&data)) }))
    }
}

async fn answer(
    State(workload): State<Arc<Workload>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (status, body) = match workload.respond(&method, &uri, &headers, &body) {
        Ok(body) => (StatusCode::OK, body),
        Err(Refusal(status, message)) => (status, json!({ "message": message })),
    };
    (status, [(header::CONNECTION, "close")], axum::Json(body)).into_response()
}
