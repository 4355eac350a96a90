//! MQTT 3.1.1 packets on a stream of bytes.

use bytes::BytesMut;
use rumqttc::Packet;
use rumqttc::mqttbytes::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};

/// The largest packet, in bytes; a larger one ends the connection (`iotedge-protocol.md` §B3).
const MAX_PACKET: usize = 262_144;
/// How long a client may leave a packet unread.
const WRITE: Duration = Duration::from_secs(30);

/// What a client sends.
pub(super) struct Packets<R> {
    read: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Packets<R> {
    pub(super) fn new(read: R) -> Self {
        Self { read, buffer: BytesMut::new() }
    }

    /// The next packet; `None` at the end. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            match Packet::read(&mut self.buffer, MAX_PACKET) {
                Err(Error::InsufficientBytes(_)) => {}
                packet => return packet.map(Some),
            }
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Writes what is queued until nobody can queue any more, or the client does not take it.
pub(super) async fn write(mut write: impl AsyncWrite + Unpin, mut queue: mpsc::UnboundedReceiver<Packet>) {
    let mut buffer = BytesMut::new();
    while let Some(packet) = queue.recv().await {
        buffer.clear();
        let written = async {
            // A packet that cannot be written is larger than MQTT allows.
            packet.write(&mut buffer, usize::MAX)?;
            write.write_all(&buffer).await?;
            write.flush().await.map_err(Error::from)
        };
        match timeout(WRITE, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let _ = timeout(WRITE, write.shutdown()).await;
}
