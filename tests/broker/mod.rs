//! A broker that does only what a test tells it: real TLS, real packets, no will of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use rumqttc::{ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::authority::Authority;

/// Longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(10);

pub(crate) struct Broker {
    pub(crate) port: u16,
    connections: mpsc::Receiver<DuplexStream>,
}

/// One connection, after TLS.
pub(crate) struct Peer {
    stream: DuplexStream,
    buffer: BytesMut,
}

/// What a broker speaks on its port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Mqtt,
    WebSocket,
}

impl Broker {
    pub(crate) async fn start(authority: &Authority, speaks: Speaks) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(authority.server.0.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(authority.server.1.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, connections) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), speaks, sender.clone()));
            }
        });
        Self { port, connections }
    }

    /// The next connection, before its CONNECT is read.
    pub(crate) async fn connection(&mut self) -> Peer {
        let stream = timeout(LONG, self.connections.recv()).await.expect("somebody connects").unwrap();
        Peer { stream, buffer: BytesMut::new() }
    }

    /// The next connection, accepted.
    pub(crate) async fn accepted(&mut self) -> (Peer, Connect) {
        let mut peer = self.connection().await;
        let connect = peer.connect().await;
        peer.answer(ConnectReturnCode::Success, true).await;
        (peer, connect)
    }

    /// The next connection, accepted and subscribed, which asks for the twin.
    pub(crate) async fn subscribed(&mut self) -> Peer {
        let (mut peer, _) = self.accepted().await;
        assert_eq!(peer.subscribe().await.len(), 4);
        peer
    }
}

impl Peer {
    /// The next packet; `None` once the other side has closed. Signs of life are answered.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
        loop {
            match Packet::read(&mut self.buffer, 300_000) {
                Ok(Packet::PingReq) => self.send(Packet::PingResp).await,
                Ok(packet) => return Some(packet),
                Err(_) => {
                    let read = timeout(LONG, self.stream.read_buf(&mut self.buffer)).await;
                    if !matches!(read.expect("something is said"), Ok(1..)) {
                        return None;
                    }
                }
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: Packet) {
        let mut buffer = BytesMut::new();
        packet.write(&mut buffer, 300_000).unwrap();
        self.stream.write_all(&buffer).await.unwrap();
    }

    /// Sends what is no MQTT.
    pub(crate) async fn garble(&mut self) {
        self.stream.write_all(&[0xFF; 64]).await.unwrap();
    }

    pub(crate) async fn connect(&mut self) -> Connect {
        match self.next().await {
            Some(Packet::Connect(connect)) => connect,
            other => panic!("no CONNECT: {other:?}"),
        }
    }

    pub(crate) async fn answer(&mut self, code: ConnectReturnCode, session_present: bool) {
        self.send(Packet::ConnAck(ConnAck { code, session_present })).await;
    }

    /// Grants a SUBSCRIBE and says what was wanted.
    pub(crate) async fn subscribe(&mut self) -> Vec<(String, QoS)> {
        let Some(Packet::Subscribe(subscribe)) = self.next().await else { panic!("no SUBSCRIBE") };
        let codes = subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(filter.qos)).collect();
        self.send(Packet::SubAck(SubAck::new(subscribe.pkid, codes))).await;
        subscribe.filters.into_iter().map(|filter| (filter.path, filter.qos)).collect()
    }

    /// The next PUBLISH whose topic starts with `topic`, acknowledged or not; PUBACKs are passed over.
    pub(crate) async fn publish(&mut self, topic: &str, acknowledge: bool) -> Publish {
        loop {
            match self.next().await {
                Some(Packet::Publish(publish)) => {
                    let found = String::from_utf8(publish.topic.to_vec()).unwrap();
                    assert!(found.starts_with(topic), "{found}");
                    if acknowledge {
                        self.send(Packet::PubAck(PubAck::new(publish.pkid))).await;
                    }
                    return publish;
                }
                Some(Packet::PubAck(_)) => {}
                other => panic!("no PUBLISH to {topic}: {other:?}"),
            }
        }
    }

    /// Publishes to the module, which has to acknowledge it.
    pub(crate) async fn tell(&mut self, topic: impl Into<String>, payload: impl Into<String>) {
        let payload: String = payload.into();
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = 77;
        self.send(Packet::Publish(publish)).await;
    }

    /// Answers the next request for the twin, before its PUBACK.
    pub(crate) async fn twin(&mut self, body: &str) {
        let get = self.publish("$iothub/twin/GET/?$rid=", false).await;
        self.tell(format!("$iothub/twin/res/200/?$rid={}", rid(&get)), body).await;
        self.send(Packet::PubAck(PubAck::new(get.pkid))).await;
    }
}

/// The request id at the end of a topic.
pub(crate) fn rid(publish: &Publish) -> String {
    let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
    topic.split_once("$rid=").unwrap().1.to_owned()
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, speaks: Speaks, sender: mpsc::Sender<DuplexStream>) {
    // A client that does not trust us ends here.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let (inner, mut outer) = tokio::io::duplex(64 * 1024);
    if sender.send(inner).await.is_err() {
        return;
    }
    if speaks == Speaks::Mqtt {
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut outer).await;
        return;
    }
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let accept = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/$iothub/websocket");
        assert_eq!(request.headers()["sec-websocket-protocol"], "mqtt");
        response.headers_mut().insert("sec-websocket-protocol", "mqtt".parse().unwrap());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, accept).await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => outer.write_all(&bytes).await.unwrap(),
                Some(Ok(_)) => {}
                _ => return,
            },
            read = outer.read(&mut buffer) => match read {
                Ok(n @ 1..) => socket.send(Message::Binary(buffer[..n].to_vec().into())).await.unwrap(),
                _ => return,
            },
        }
    }
}
