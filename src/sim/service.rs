//! HTTPS on 443: the service endpoints of IoT Hub (twins, methods), and what edgeHub has there: direct methods from
//! module to module and MQTT over WebSocket. On a real site these are two hosts; clients tell them apart by what they ask.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::edge_hub::{Answered, Call, CallError, EdgeHub};
use super::iot_hub::{IotHub, Refusal};
use super::listen;
use super::token::{self, Key, Token};
use crate::hub::method::MAX_PAYLOAD;

/// The shared access policy that services sign with.
pub(super) const POLICY: &str = "service";

/// What stands behind the endpoints.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) device: String,
    /// What a service may give as the host in its token.
    pub(super) hosts: Vec<String>,
    pub(super) key: Key,
    pub(super) cloud: Arc<IotHub>,
    pub(super) edge_hub: Arc<EdgeHub>,
    /// Where WebSockets go, as the bytes that they carry.
    pub(super) websockets: mpsc::UnboundedSender<DuplexStream>,
}

/// The body of a call (`iotedge-protocol.md` §B7).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallBody {
    method_name: String,
    #[serde(default)]
    payload: Value,
    response_timeout_in_seconds: Option<u64>,
    connect_timeout_in_seconds: Option<u64>,
}

/// An error as IoT Hub words it: a status, a code of its own, a message.
struct Failure(StatusCode, u32, &'static str, String);

impl Service {
    /// The endpoints.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/$iothub/websocket", get(upgrade))
            .route("/twins/{device}/modules/{module}", get(read_twin).patch(write_twin).put(write_twin))
            .route("/twins/{device}/modules/{module}/methods", post(call))
            .route("/devices/{device}/modules", get(list))
            .fallback(async || Failure(StatusCode::NOT_FOUND, 404_000, "NotFound", "no such endpoint".to_owned()))
            .with_state(Arc::new(self))
    }

    /// Whether the request is a service's of this hub (`iotedge-protocol.md` §C1).
    fn authorise(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let token = text(headers, header::AUTHORIZATION.as_str()).and_then(Token::parse);
        let is_ours = token.is_some_and(|token| {
            token.policy.as_deref() == Some(POLICY)
                && self.hosts.iter().any(|host| token.resource.eq_ignore_ascii_case(host))
                && token.expiry > token::now()
                && token.is_signed_with(&self.key)
        });
        let refusal =
            || Failure(StatusCode::UNAUTHORIZED, 401_003, "IotHubUnauthorizedAccess", "unauthorized".to_owned());
        is_ours.then_some(()).ok_or_else(refusal)
    }

    fn is_here(&self, device: &str) -> Result<(), Failure> {
        let refusal =
            || Failure(StatusCode::NOT_FOUND, 404_001, "DeviceNotFound", format!("there is no device {device}"));
        (device == self.device).then_some(()).ok_or_else(refusal)
    }

    fn twin(&self, module: &str) -> Result<Response, Failure> {
        let twin = self.cloud.shown(&self.device, module).ok_or_else(|| Refusal::NoModule(module.to_owned()))?;
        let etag = HeaderValue::from_str(&format!("\"{}\"", twin["etag"].as_str().unwrap_or_default())).ok();
        let mut response = axum::Json(twin).into_response();
        response.headers_mut().extend(etag.map(|etag| (header::ETAG, etag)));
        Ok(response)
    }
}

async fn read_twin(
    State(service): State<Arc<Service>>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    service.authorise(&headers)?;
    service.is_here(&device)?;
    service.twin(&module)
}

async fn write_twin(
    State(service): State<Arc<Service>>,
    Path((device, module)): Path<(String, String)>,
    method: axum::http::Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    service.authorise(&headers)?;
    service.is_here(&device)?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| bad_request(error.to_string()))?;
    let etag = text(&headers, header::IF_MATCH.as_str()).map(|etag| etag.trim_matches('"')).filter(|etag| *etag != "*");
    service.cloud.write(&module, etag, &body, method == axum::http::Method::PUT)?;
    service.twin(&module)
}

async fn list(
    State(service): State<Arc<Service>>,
    Path(device): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    service.authorise(&headers)?;
    service.is_here(&device)?;
    let module = |id: String| json!({ "moduleId": id, "deviceId": device });
    Ok(axum::Json(service.cloud.modules().into_iter().map(module).collect::<Value>()).into_response())
}

/// A call from the cloud, or, with the header of a module, one through edgeHub.
async fn call(
    State(service): State<Arc<Service>>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let caller = text(&headers, "x-ms-edge-moduleId");
    match caller {
        None => service.authorise(&headers)?,
        Some(caller) => {
            let token = text(&headers, header::AUTHORIZATION.as_str()).unwrap_or_default();
            if !service.edge_hub.authorised(caller, token) {
                let message = json!({ "message": format!("unable to authenticate {caller}") });
                return Ok((StatusCode::UNAUTHORIZED, axum::Json(message)).into_response());
            }
        }
    }
    service.is_here(&device)?;
    if service.cloud.twin(&module).is_none() {
        return Err(Refusal::NoModule(module).into());
    }
    let body: CallBody = serde_json::from_slice(&body).map_err(|error| bad_request(error.to_string()))?;
    let call = body.call().map_err(bad_request)?;
    let answered = match caller {
        None => service.edge_hub.call_from_cloud(&module, call).await,
        Some(_) => service.edge_hub.call(&module, call).await,
    };
    match answered {
        Ok(Answered { status, payload }) => {
            Ok(axum::Json(json!({ "status": status, "payload": payload })).into_response())
        }
        Err(error @ CallError::NotConnected) => {
            Err(Failure(StatusCode::NOT_FOUND, 404_103, "DeviceNotOnline", error.to_string()))
        }
        Err(error @ CallError::TimedOut) => {
            Err(Failure(StatusCode::GATEWAY_TIMEOUT, 504_101, "GatewayTimeout", error.to_string()))
        }
    }
}

/// MQTT over WebSocket (§B1).
async fn upgrade(State(service): State<Arc<Service>>, mut request: Request) -> Response {
    let headers = request.headers();
    let protocols = text(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    let is_mqtt = protocols.split(',').any(|protocol| protocol.trim().eq_ignore_ascii_case("mqtt"));
    let is_websocket = text(headers, "upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_mqtt && is_websocket);
    let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (bytes, carried) = listen::websocket(hyper::upgrade::on(&mut request));
    if service.websockets.send(bytes).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // Ends when the edgeHub's end is dropped.
    tokio::spawn(carried);
    let headers = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_PROTOCOL, "mqtt".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

impl CallBody {
    /// The call, where it keeps within the limits (`iothub-limits.md` §3).
    fn call(self) -> Result<Call, String> {
        let (response, connect) =
            (self.response_timeout_in_seconds.unwrap_or(30), self.connect_timeout_in_seconds.unwrap_or(0));
        if self.method_name.trim().is_empty() || self.method_name.chars().count() > 100 {
            return Err("a method name has 1 to 100 characters".to_owned());
        }
        if !(5..=300).contains(&response) || connect > 300 {
            return Err("responseTimeoutInSeconds is 5 to 300, connectTimeoutInSeconds 0 to 300".to_owned());
        }
        if self.payload.to_string().len() > MAX_PAYLOAD {
            return Err("the payload has more than 128 KB".to_owned());
        }
        Ok(Call {
            name: self.method_name,
            payload: self.payload,
            response: Duration::from_secs(response),
            connect: Duration::from_secs(connect),
        })
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::NoModule(_) => Self(StatusCode::NOT_FOUND, 404_010, "ModuleNotFound", message),
            Refusal::Etag => Self(StatusCode::PRECONDITION_FAILED, 412_002, "PreconditionFailed", message),
            Refusal::Illegal(_) => bad_request(message),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(status, code, name, message) = self;
        let inner = json!({ "errorCode": code, "trackingId": "", "message": message });
        let body = json!({ "Message": inner.to_string(), "ExceptionMessage": "" });
        (status, [("iothub-errorcode", name)], axum::Json(body)).into_response()
    }
}

fn bad_request(message: String) -> Failure {
    Failure(StatusCode::BAD_REQUEST, 400_004, "ArgumentInvalid", message)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
