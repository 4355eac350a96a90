//! One connection to edgeHub: its options, the requests that wait on it, and what arrives (`iotedge-protocol.md` §B).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, EventLoop, MqttOptions, Packet, PublishOptions, QoS,
    SubscribeFilterInput, TlsConfiguration, Transport,
};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::{Pace, SessionError};
use crate::hub::desired;
use crate::hub::topic::{Filter, FromModule};
use crate::iotedge::{Identity, Resource, Token};

/// The largest MQTT packet that edgeHub takes, in bytes; a larger one ends the connection (§B3).
const MAX_PACKET: usize = 262_144;
/// Most of a packet that is neither topic nor payload, in bytes.
const PACKET_FRAME: usize = 16;
/// Requests under way at once. edgeHub stops reading at 16 of ours that wait for their acknowledgement (§B3).
const UNDER_WAY: usize = 16;
/// Seconds between two signs of life (§B1).
const KEEP_ALIVE: u16 = 60;

/// Where edgeHub listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What is dialled, and the name that the certificate must have.
    pub host: String,
    /// The port of MQTT over TLS.
    pub mqtt: u16,
    /// The port of MQTT over WebSocket over TLS.
    pub web_socket: u16,
}

/// The ways to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Mqtt,
    WebSocket,
}

/// A connection that edgeHub accepted. Whoever polls its event loop keeps it alive.
pub(super) struct Connection {
    client: AsyncClient,
    waiting: Mutex<HashMap<String, oneshot::Sender<Answered>>>,
    under_way: Arc<Semaphore>,
    /// Somebody wants the twin to be read again.
    pub(super) ask: Notify,
}

/// The answer to a twin request.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// The twin, where it was asked for and is known.
    pub(super) twin: Option<Value>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// The way is closed: another one may be open.
    #[error("{0}")]
    Closed(String),
    /// edgeHub or its certificate was reached, and it is no use.
    #[error("{0}")]
    Refused(String),
}

impl Endpoint {
    /// The gateway of `identity` on the ports of every edgeHub.
    pub fn of(identity: &Identity) -> Self {
        Self { host: identity.gateway.clone(), mqtt: 8883, web_socket: 443 }
    }

    /// Says where a way leads, for people.
    pub(super) fn describe(&self, route: Route) -> String {
        match route {
            Route::Mqtt => format!("mqtts://{}:{}", self.host, self.mqtt),
            Route::WebSocket => format!("wss://{}:{}/$iothub/websocket", self.host, self.web_socket),
        }
    }
}

impl Route {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Mqtt => Self::WebSocket,
            Self::WebSocket => Self::Mqtt,
        }
    }
}

impl Connection {
    /// Connects and waits for CONNACK. `trust` holds the only authorities, as PEM.
    pub(super) async fn open(
        identity: &Identity,
        endpoint: &Endpoint,
        route: Route,
        token: &Token,
        trust: &str,
        pace: &Pace,
    ) -> Result<(Arc<Self>, EventLoop), ConnectError> {
        let tls = TlsConfiguration::Rustls(tls(trust).map_err(ConnectError::Refused)?);
        let options = options(identity, endpoint, route, token, tls, pace.dial)
            .map_err(|error| ConnectError::Refused(format!("{}: {error}", endpoint.describe(route))))?;
        let (client, mut events) = AsyncClient::builder(options).capacity(UNDER_WAY).build();
        events.network_options.set_connection_timeout(pace.connect.as_secs().max(1));
        match events.poll().await {
            Ok(_) => {
                let waiting = Mutex::new(HashMap::new());
                let under_way = Arc::new(Semaphore::new(UNDER_WAY));
                Ok((Arc::new(Self { client, waiting, under_way, ask: Notify::new() }), events))
            }
            Err(error) => Err(explained(&error, &endpoint.describe(route))),
        }
    }

    /// Subscribes to all that the module `resource` is told; ready once that is granted.
    pub(super) async fn subscribe(&self, resource: &Resource, patience: Duration) -> Result<(), String> {
        let inputs = Filter::Inputs { device: resource.device.clone(), module: resource.module.clone() };
        let filters = [Filter::TwinAnswers, Filter::Desired, Filter::Methods, inputs];
        let filters = filters.map(|filter| SubscribeFilterInput::new(filter.to_string(), QoS::AtLeastOnce));
        let granted = async {
            let notice = self.client.subscribe_many_tracked(filters).await.map_err(|_| gone())?;
            notice.wait_async().await.map_err(|error| error.to_string())
        };
        timeout(patience, granted).await.map_err(|_| "no SUBACK".to_owned())?.map(drop)
    }

    /// Publishes and waits for PUBACK.
    pub(super) async fn publish(&self, topic: &FromModule, payload: String) -> Result<(), SessionError> {
        let _permit = self.permit().await?;
        self.tracked(topic, payload).await?.wait_async().await.map_err(|_| unavailable())?;
        Ok(())
    }

    /// Publishes and waits for the answer with `rid`, which may come before PUBACK (§B3).
    pub(super) async fn request(
        &self,
        topic: &FromModule,
        payload: String,
        rid: String,
    ) -> Result<Answered, SessionError> {
        let _permit = self.permit().await?;
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(rid.clone(), sender);
        // Also when this future is dropped, nothing keeps waiting.
        let _forget = Forget { connection: self, rid };
        let acknowledged = self.tracked(topic, payload).await?;
        tokio::select! {
            answered = answer => answered.map_err(|_| unavailable()),
            Err(_) = acknowledged.wait_async() => Err(unavailable()),
        }
    }

    /// An answer arrived: hands it to who asked for it. `body` is looked at where the twin was asked for.
    pub(super) fn answered(&self, rid: &str, status: u16, body: &[u8]) -> Option<Value> {
        // Nobody waits: it came too late, or was never asked for.
        let sender = self.waiting().remove(rid)?;
        let twin = (status == 200).then(|| desired::twin(body)).flatten();
        let _ = sender.send(Answered { status, twin: twin.clone() });
        twin
    }

    /// Waits for what is under way, at most as long as `drain`, and disconnects. The event loop ends after that.
    pub(super) async fn finish(&self, drain: Duration) {
        let all = u32::try_from(UNDER_WAY).unwrap_or(u32::MAX);
        let _ = timeout(drain, self.under_way.acquire_many(all)).await;
        let _ = self.client.disconnect_with_timeout(drain).await;
    }

    /// Nobody polls the event loop any more: whoever waits is told.
    pub(super) fn fail(&self) {
        self.under_way.close();
        self.waiting().clear();
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, SessionError> {
        Arc::clone(&self.under_way).acquire_owned().await.map_err(|_| unavailable())
    }

    async fn tracked(&self, topic: &FromModule, payload: String) -> Result<rumqttc::PublishNotice, SessionError> {
        let topic = topic.to_string();
        let size = topic.len() + payload.len() + PACKET_FRAME;
        if size > MAX_PACKET {
            let message = format!("the message has {size} bytes with its properties, more than {MAX_PACKET}");
            return Err(SessionError::Refused { status: 413, message });
        }
        match self.client.publish_tracked(topic, payload, PublishOptions::new(QoS::AtLeastOnce)).await {
            Ok(notice) => Ok(notice),
            Err(ClientError::InvalidRequest(_)) => {
                let message = "MQTT cannot carry its topic".to_owned();
                Err(SessionError::Refused { status: 400, message })
            }
            Err(_) => Err(unavailable()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Answered>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a request off the list when it is over.
struct Forget<'a> {
    connection: &'a Connection,
    rid: String,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.connection.waiting().remove(&self.rid);
    }
}

/// Reads the next packet of an event loop: a PUBLISH, something else, or the reason why there are no more.
pub(super) async fn next(events: &mut EventLoop) -> Result<Option<rumqttc::Publish>, String> {
    match events.poll().await {
        Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) => Ok(Some(publish)),
        Ok(rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect)) => Err("disconnected as planned".to_owned()),
        Ok(_) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn options(
    identity: &Identity,
    endpoint: &Endpoint,
    route: Route,
    token: &Token,
    tls: TlsConfiguration,
    dial: Duration,
) -> Result<MqttOptions, String> {
    let id = identity.client_id();
    let mut options = match route {
        Route::Mqtt => {
            let mut options = MqttOptions::new(id, (endpoint.host.as_str(), endpoint.mqtt));
            options.set_transport(Transport::tls_with_config(tls));
            options
        }
        Route::WebSocket => MqttOptions::websocket_with_tls_config(id, endpoint.describe(route), tls)
            .map_err(|error| error.to_string())?,
    };
    options.try_set_clean_session(false).map_err(|error| error.to_string())?;
    options.set_credentials(identity.user_name(), token.secret().to_owned());
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    options.set_socket_connector(move |address, network| async move {
        let dialled = timeout(dial, rumqttc::default_socket_connect(address, network)).await;
        dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    });
    Ok(options)
}

/// TLS 1.2 or 1.3 with the authorities in `trust` and no others. What is no certificate is passed over.
fn tls(trust: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(trust.as_bytes()).filter_map(Result::ok));
    if roots.is_empty() {
        return Err("the trust bundle holds no certificate: check the certificates of the edge device".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn explained(error: &ConnectionError, place: &str) -> ConnectError {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized) => ConnectError::Refused(format!(
            "{place}: edgeHub does not accept our token (CONNACK 5): it may still be learning of this module, or the \
             clock of the device is wrong"
        )),
        ConnectionError::ConnectionRefused(code) => {
            ConnectError::Refused(format!("{place}: edgeHub refused the connection ({code:?})"))
        }
        ConnectionError::Tls(rumqttc::TlsError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            ConnectError::Refused(format!("{place}: {io}: the trust bundle must hold the authority of edgeHub"))
        }
        // The packet itself does not belong into a log.
        ConnectionError::NotConnAck(_) => {
            ConnectError::Closed(format!("{place}: what answered speaks no MQTT of ours"))
        }
        error => ConnectError::Closed(format!("{place}: {error}")),
    }
}

fn gone() -> String {
    "the connection is gone".to_owned()
}

fn unavailable() -> SessionError {
    SessionError::Unavailable("the connection to edgeHub was lost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        for bundle in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = tls(bundle).unwrap_err();
            assert!(error.contains("holds no certificate"), "{bundle}: {error}");
        }
    }

    #[test]
    fn certificates_beside_garbage_are_taken() {
        let certificate = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(tls(&format!("text\n{}{broken}{}", certificate("a"), certificate("b"))).is_ok());
    }
}
