//! Sockets: whatever is accepted is served by a task of its own, and all of them end with the listener.

use axum::Router;
use axum::serve::Listener;
use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts for ever.
pub(super) async fn listen<L: Listener, F>(mut listener: L, serve: impl Fn(L::Io) -> F + Send)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, _) = listener.accept() => {
                connections.spawn(serve(stream));
            }
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "A connection's task died, which is a fault of ours.");
                }
            }
        }
    }
}

/// The TLS stream over `stream`; `None` where the client does not come that far.
pub(super) async fn encrypted(acceptor: TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let accepted = timeout(HANDSHAKE, acceptor.accept(stream)).await;
    match accepted {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::info!(%error, "A client did not finish the TLS handshake.");
            None
        }
        Err(_) => None,
    }
}

/// Serves HTTP/1.1 until the client has enough.
pub(super) async fn http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%error, "An HTTP connection ended early.");
    }
}

/// The bytes that a WebSocket carries in binary messages, as a stream, and what carries them until either end closes.
pub(super) fn websocket(upgrade: OnUpgrade) -> (DuplexStream, impl Future<Output = ()> + Send) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    (near, carry(upgrade, far))
}

async fn carry(upgrade: OnUpgrade, bytes: DuplexStream) {
    let Ok(upgraded) = upgrade.await else { return };
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (mut sink, mut messages) = socket.split();
    let (mut read, mut write) = tokio::io::split(bytes);
    let incoming = async {
        while let Some(Ok(message)) = messages.next().await {
            match message {
                Message::Binary(bytes) if write.write_all(&bytes).await.is_ok() => {}
                Message::Ping(_) | Message::Pong(_) => {}
                _ => break,
            }
        }
        let _ = write.shutdown().await;
    };
    let outgoing = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    tokio::select! {
        () = outgoing => {}
        // The far end still says its last word.
        () = incoming => {}
    }
}
