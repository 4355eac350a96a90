//! One client's connection, from CONNECT to its end. Packets are processed one after another, and PUBACK comes after
//! processing (`iotedge-protocol.md` §B3).

use std::time::Duration;

use rumqttc::{
    ConnAck, Connect, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, Subscribe, SubscribeReasonCode, UnsubAck,
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::credentials::Admitted;
use super::packets::{self, Packets};
use super::subscription::{subscribe, unsubscribe};
use super::{Client, EdgeHub, MAX_CLIENTS};
use crate::hub::topic::{FromModule, Properties, ToModule};

/// The longest silence that any client may keep; 0 asks for it (§B1).
const KEEP_ALIVE: Duration = Duration::from_secs(600);

/// What becomes of the connection.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Close,
}

impl EdgeHub {
    /// Serves one client on any stream, as on its ports, until either ends it.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite) {
        let (read, write) = tokio::io::split(stream);
        tokio::pin!(read, write);
        let (outgoing, queue) = mpsc::unbounded_channel();
        tokio::join!(self.attend(Packets::new(read), outgoing), packets::write(write, queue));
    }

    async fn attend(&self, mut packets: Packets<impl AsyncRead + Unpin>, outgoing: mpsc::UnboundedSender<Packet>) {
        let Ok(Ok(Some(Packet::Connect(connect)))) = timeout(self.behaviour.connect, packets.next()).await else {
            return;
        };
        let joined = self.admit(&connect).and_then(|admitted| self.join(&connect, admitted, &outgoing));
        let Admission { module, number, mut left } = match joined {
            Ok(admission) => admission,
            Err(code) => {
                tracing::info!(client = connect.client_id, ?code, "A client was not let in.");
                let _ = outgoing.send(Packet::ConnAck(ConnAck::new(code, false)));
                return;
            }
        };
        let silence = match connect.keep_alive {
            0 => KEEP_ALIVE,
            seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(KEEP_ALIVE),
        };
        let is_clean = loop {
            let packet = tokio::select! {
                biased;
                _ = &mut left => break false,
                packet = timeout(silence, packets.next()) => packet,
            };
            match packet {
                Ok(Ok(Some(Packet::Disconnect))) => break true,
                Ok(Ok(Some(packet))) => {
                    if self.process(&module, packet, &outgoing).await == Next::Close {
                        break false;
                    }
                }
                Ok(Ok(None) | Err(_)) | Err(_) => break false,
            }
        };
        self.leave(&module, number, connect.clean_session);
        if let (false, Some(will)) = (is_clean, connect.last_will) {
            let will = Publish::from_bytes(will.topic, QoS::AtMostOnce, will.message);
            self.published(&module, &will).await;
        }
    }

    /// Puts a client in its place, which closes the one that had it, and answers CONNECT.
    fn join(
        &self,
        connect: &Connect,
        Admitted { module: id, expiry }: Admitted,
        outgoing: &mpsc::UnboundedSender<Packet>,
    ) -> Result<Admission, ConnectReturnCode> {
        let (leave, left) = oneshot::channel();
        let number = self.next_number();
        let mut state = self.state();
        let others = state.modules.iter().filter(|(other, module)| **other != id && module.client.is_some()).count();
        if others >= MAX_CLIENTS {
            return Err(ConnectReturnCode::ServiceUnavailable);
        }
        let module = state.modules.get_mut(&id).ok_or(ConnectReturnCode::NotAuthorized)?;
        if connect.clean_session {
            module.session = None;
        }
        let connack = ConnAck::new(ConnectReturnCode::Success, module.session.is_some());
        let _ = outgoing.send(Packet::ConnAck(connack));
        module.session.get_or_insert_default();
        module.client = Some(Client { number, expiry, outgoing: outgoing.clone(), packet_id: 0, _leave: leave });
        module.admissions += 1;
        module.start_again(&self.names.device, &id);
        drop(state);
        self.changed.send_replace(());
        Ok(Admission { module: id, number, left })
    }

    /// Takes a client out, unless another one has its place already.
    fn leave(&self, id: &str, number: u64, is_clean_session: bool) {
        if let Some(module) = self.state().modules.get_mut(id)
            && module.client.as_ref().is_none_or(|client| client.number == number)
        {
            module.client = None;
            if is_clean_session {
                module.session = None;
            }
        }
        self.changed.send_replace(());
    }

    async fn process(&self, module: &str, packet: Packet, outgoing: &mpsc::UnboundedSender<Packet>) -> Next {
        let answer = match packet {
            Packet::Publish(publish) => {
                if publish.qos == QoS::ExactlyOnce || self.published(module, &publish).await == Next::Close {
                    return Next::Close;
                }
                (publish.qos == QoS::AtLeastOnce).then(|| Packet::PubAck(PubAck::new(publish.pkid)))
            }
            Packet::PubAck(acknowledged) => {
                self.acknowledged(module, acknowledged.pkid);
                None
            }
            Packet::Subscribe(subscribe) => {
                // Messages that wait come after SUBACK.
                let _ = outgoing.send(Packet::SubAck(self.granted(module, &subscribe)));
                self.deliver(module);
                self.changed.send_replace(());
                None
            }
            Packet::Unsubscribe(packet) => {
                if let Some(session) = self.state().modules.get_mut(module).and_then(|module| module.session.as_mut()) {
                    packet.topics.iter().for_each(|filter| unsubscribe(session, filter));
                }
                Some(Packet::UnsubAck(UnsubAck::new(packet.pkid)))
            }
            Packet::PingReq => Some(Packet::PingResp),
            _ => return Next::Close,
        };
        if let Some(answer) = answer {
            let _ = outgoing.send(answer);
        }
        Next::GoOn
    }

    /// Grants every filter (§B2).
    fn granted(&self, module: &str, packet: &Subscribe) -> SubAck {
        let mut state = self.state();
        let mut codes = Vec::new();
        if let Some(session) = state.modules.get_mut(module).and_then(|module| module.session.as_mut()) {
            for filter in &packet.filters {
                let granted = subscribe(session, &filter.path, filter.qos as u8);
                codes.push(SubscribeReasonCode::Success(if granted == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }));
            }
        }
        SubAck::new(packet.pkid, codes)
    }

    /// Does what a message is for. What is no template is acknowledged and dropped; a twin topic that does not read ends
    /// the connection.
    async fn published(&self, module: &str, publish: &Publish) -> Next {
        let Ok(topic) = str::from_utf8(&publish.topic) else { return Next::Close };
        match FromModule::parse(topic) {
            Some(FromModule::TwinGet { rid }) => {
                let twin = self.twin(module).await;
                self.answer_twin(module, 200, rid, twin.to_string());
            }
            Some(FromModule::TwinReport { rid }) => {
                let taken = serde_json::from_slice(&publish.payload)
                    .map_err(|error| error.to_string())
                    .and_then(|patch: Value| self.report(module, &patch));
                match &taken {
                    Ok(()) => self.route_twin_change(module, &publish.payload),
                    Err(error) => tracing::info!(module, error, "A reported patch was refused."),
                }
                if let Some(rid) = rid {
                    self.answer_twin(module, if taken.is_ok() { 204 } else { 400 }, rid, String::new());
                }
            }
            Some(FromModule::MethodAnswer { status, rid }) => self.answered(module, &rid, status, &publish.payload),
            Some(FromModule::Telemetry { device, module: of, mut properties })
                if device == self.names.device && of == module =>
            {
                for (flag, name) in [(publish.retain, "mqtt-retain"), (publish.dup, "mqtt-dup")] {
                    if flag {
                        properties.set(name, "true");
                    }
                }
                let output = properties.get(Properties::OUTPUT).map(str::to_owned);
                self.route_message(module, output.as_deref(), &properties, &publish.payload);
            }
            None if topic.starts_with("$iothub/twin/") => return Next::Close,
            Some(FromModule::Telemetry { .. }) | None => tracing::info!(module, "A message matched no template."),
        }
        Next::GoOn
    }

    fn answer_twin(&self, module: &str, status: u16, rid: String, body: String) {
        if let Some(module) = self.state().modules.get_mut(module) {
            module.publish(&ToModule::TwinAnswer { status, rid, version: None }, body.into_bytes());
        }
    }
}

/// A client that was let in.
struct Admission {
    module: String,
    number: u64,
    /// Ready when edgeHub closes the connection.
    left: oneshot::Receiver<()>,
}
