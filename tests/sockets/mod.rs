//! Clients of the embedded device for tests, made of the libraries' own parts: TLS, MQTT packets, HTTP requests, tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use edgeshift::sim::EmbeddedDevice;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rumqttc::mqttbytes::Error;
use rumqttc::{Connect, Packet, Publish, QoS, Subscribe, SubscribeFilter, SubscribeReasonCode};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// Fails where something takes too long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("it takes ten seconds and more")
}

/// Waits for what comes by itself.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(waiting).await;
}

/// A folder that goes when it is dropped, with a short path.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("edgeshift-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the system's clock")]
pub(crate) fn seconds() -> u64 {
    jiff::Timestamp::now().as_second().try_into().unwrap()
}

/// The moment `after` seconds from now.
pub(crate) fn expiry(after: i64) -> u64 {
    seconds().saturating_add_signed(after)
}

/// The key in a connection string.
pub(crate) fn key(connection_string: &str) -> String {
    connection_string.split(';').find_map(|pair| pair.strip_prefix("SharedAccessKey=")).unwrap().to_owned()
}

/// HMAC-SHA256 as base64.
pub(crate) fn digest(key: &str, data: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64_STANDARD.decode(key).unwrap());
    BASE64_STANDARD.encode(ring::hmac::sign(&key, data))
}

/// A SAS token.
pub(crate) fn sign(key: &str, resource: &str, expiry: u64) -> String {
    let resource = utf8_percent_encode(resource, ENCODED).to_string();
    let signature = digest(key, format!("{resource}\n{expiry}").as_bytes());
    format!("SharedAccessSignature sr={resource}&sig={}&se={expiry}", utf8_percent_encode(&signature, ENCODED))
}

pub(crate) fn module_token(device: &EmbeddedDevice, module: &str, expiry: u64) -> String {
    let resource = format!("embedded.azure-devices.net/devices/edge/modules/{module}");
    sign(&key(&device.connection_string(module).unwrap()), &resource, expiry)
}

pub(crate) fn service_token(connection_string: &str, policy: &str, expiry: u64) -> String {
    let host = connection_string.split(';').find_map(|pair| pair.strip_prefix("HostName=")).unwrap();
    format!("{}&skn={policy}", sign(&key(connection_string), host, expiry))
}

/// CONNECT of a module of the device.
pub(crate) fn connect(device: &EmbeddedDevice, module: &str) -> Connect {
    connect_until(device, module, expiry(60))
}

pub(crate) fn connect_until(device: &EmbeddedDevice, module: &str, expiry: u64) -> Connect {
    let mut connect = Connect::new(format!("edge/{module}"));
    (connect.clean_session, connect.keep_alive) = (false, 60);
    let user = format!("embedded.azure-devices.net/edge/{module}/?api-version=2021-04-12");
    connect.set_credentials(user, module_token(device, module, expiry));
    connect
}

/// TLS that trusts the device's CA and nothing else.
pub(crate) fn client_tls(device: &EmbeddedDevice) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(device.ca_file()).unwrap()).unwrap();
    ClientConfig::builder_with_provider(tokio_rustls::rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn tls(device: &EmbeddedDevice, port: u16) -> TlsStream<TcpStream> {
    let stream = within(TcpStream::connect(("127.0.0.1", port))).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client_tls(device)));
    within(connector.connect(ServerName::try_from("localhost").unwrap(), stream)).await.unwrap()
}

/// An MQTT client that does what it is told and no more.
pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    buffer: BytesMut,
    packet_id: u16,
}

impl Client {
    pub(crate) async fn open(device: &EmbeddedDevice) -> Self {
        Self { stream: tls(device, device.mqtt_port()).await, buffer: BytesMut::new(), packet_id: 0 }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The server may have closed meanwhile; what it says of that is the test's business.
        let _ = within(self.stream.write_all(bytes)).await;
        let _ = within(self.stream.flush()).await;
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, usize::MAX).unwrap();
        self.raw(&bytes).await;
    }

    /// The next packet, `None` at the end.
    async fn read(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, 1_000_000) {
                Ok(packet) => return Some(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => panic!("the server wrote no packet: {error}"),
            }
            match within(self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Packet {
        self.read().await.expect("the server closed the connection")
    }

    /// The server closes; what it says before does not matter.
    pub(crate) async fn ends(&mut self) {
        while self.read().await.is_some() {}
    }

    pub(crate) async fn subscribe(&mut self, filters: &[&str], qos: QoS) -> Vec<SubscribeReasonCode> {
        self.packet_id += 1;
        let mut subscribe =
            Subscribe::new_many(filters.iter().map(|filter| SubscribeFilter::new((*filter).to_owned(), qos)));
        subscribe.pkid = self.packet_id;
        self.send(Packet::Subscribe(subscribe)).await;
        let Packet::SubAck(answer) = self.next().await else { panic!("no SUBACK") };
        assert_eq!(answer.pkid, self.packet_id);
        answer.return_codes
    }

    pub(crate) async fn publish(&mut self, topic: &str, qos: QoS, body: &str) {
        let mut publish = Publish::new(topic, qos, body);
        if qos != QoS::AtMostOnce {
            self.packet_id += 1;
            publish.pkid = self.packet_id;
        }
        self.send(Packet::Publish(publish)).await;
    }

    pub(crate) async fn next_publish(&mut self) -> Publish {
        match self.next().await {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }

    /// Acknowledges `known`, however often it comes again, and gives the next message that is another.
    pub(crate) async fn next_but(&mut self, known: &Publish) -> Publish {
        self.send(Packet::PubAck(rumqttc::PubAck::new(known.pkid))).await;
        loop {
            let publish = self.next_publish().await;
            if publish.payload != known.payload {
                return publish;
            }
            self.send(Packet::PubAck(rumqttc::PubAck::new(publish.pkid))).await;
        }
    }

    /// A message at QoS 1, acknowledged: its topic and body.
    pub(crate) async fn message(&mut self) -> (String, Value) {
        let publish = self.next_publish().await;
        self.send(Packet::PubAck(rumqttc::PubAck::new(publish.pkid))).await;
        let body = serde_json::from_slice(&publish.payload).unwrap_or_default();
        (String::from_utf8(publish.topic.to_vec()).unwrap(), body)
    }

    /// The same, as a packet.
    pub(crate) async fn answer(&mut self) -> Packet {
        let publish = self.next_publish().await;
        self.send(Packet::PubAck(rumqttc::PubAck::new(publish.pkid))).await;
        Packet::Publish(publish)
    }

    /// Patches the reported properties at QoS 0; the status.
    pub(crate) async fn report(&mut self, patch: &Value) -> u16 {
        self.publish("$iothub/twin/PATCH/properties/reported/?$rid=r", QoS::AtMostOnce, &patch.to_string()).await;
        let (topic, _) = self.message().await;
        let status = topic.strip_prefix("$iothub/twin/res/").and_then(|rest| rest.strip_suffix("/?$rid=r"));
        status.unwrap_or_else(|| panic!("{topic}")).parse().unwrap()
    }

    /// Gets the twin at QoS 0.
    pub(crate) async fn twin(&mut self) -> Value {
        self.publish("$iothub/twin/GET/?$rid=g", QoS::AtMostOnce, "").await;
        let (topic, twin) = self.message().await;
        assert_eq!(topic, "$iothub/twin/res/200/?$rid=g");
        twin
    }
}

/// One HTTP connection.
pub(crate) struct Http(SendRequest<Full<Bytes>>);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Http {
    /// To a workload API, by its URI.
    pub(crate) async fn workload(uri: &str) -> Self {
        match uri.strip_prefix("unix://") {
            Some(path) => Self::over(UnixStream::connect(path).await.unwrap()).await,
            None => Self::over(TcpStream::connect(uri.strip_prefix("http://").unwrap()).await.unwrap()).await,
        }
    }

    /// To the service endpoints of a device.
    pub(crate) async fn service(device: &EmbeddedDevice) -> Self {
        Self::over(tls(device, device.https_port()).await).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = within(http1::handshake(TokioIo::new(stream))).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let response = within(self.0.send_request(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// As a service with this connection string.
    pub(crate) async fn post(&mut self, path: &str, service: &str, body: &Value) -> Answer {
        let token = service_token(service, "service", expiry(60));
        self.ask("POST", path, &[("authorization", &token)], &body.to_string()).await
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.text))
    }
}
