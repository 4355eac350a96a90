//! edgeHub: keeps the twins of the device's modules, stands between them and IoT Hub, and serves them over MQTT 3.1.1
//! with the quirks that modules meet (`iotedge-protocol.md` §B). What goes over a connection is `connection`'s.

mod calls;
mod connection;
mod credentials;
mod inputs;
mod packets;
mod route;
mod subscription;
mod twins;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rumqttc::{Packet, Publish, QoS};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub(super) use calls::{Answered, Call, CallError};
pub use route::{Route, RouteError};

use super::iot_hub::{Change, IotHub};
use super::token::{self, Key};
use super::twin::{Release, Twin};
use crate::hub::topic::ToModule;
use inputs::Input;
use subscription::Subscription;

/// The most clients at a time, edgeHub's own aside (`iothub-limits.md` §6).
const MAX_CLIENTS: usize = 100;

/// How this edgeHub behaves. The default is a current one with its own periods.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What it refuses of reported patches.
    pub release: Release,
    /// How often reported patches go to IoT Hub: 5 s (`iothub-limits.md` §1.4).
    pub sync: Duration,
    /// How often tokens of connected clients are looked at: 5 min (`iotedge-protocol.md` §A3).
    pub reauthentication: Duration,
    /// How long calls that waited for a module still wait once it has subscribed: about 3 s (§B6).
    pub method_delay: Duration,
    /// How long an input message waits for its PUBACK before it is sent again: 30 s (§B4).
    pub acknowledgement: Duration,
    /// How long IoT Hub takes to answer a twin request.
    pub cloud: Duration,
    /// How long a connection may take until CONNECT: 60 s (§B1).
    pub connect: Duration,
    /// How many seconds its clock is ahead; tokens expire by that.
    pub clock_ahead: i64,
}

/// One edgeHub.
#[derive(Debug)]
pub struct EdgeHub {
    names: Names,
    behaviour: Behaviour,
    routes: Vec<Route>,
    cloud: Arc<IotHub>,
    state: Mutex<State>,
    /// Ticks when subscriptions or connections change.
    changed: watch::Sender<()>,
    counter: AtomicU64,
}

/// Who is who.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) device: String,
    /// The host name of IoT Hub.
    pub(super) iot_hub: String,
    /// The host name of this edgeHub.
    pub(super) gateway: String,
}

#[derive(Debug)]
struct State {
    is_upstream: bool,
    modules: BTreeMap<String, Module>,
}

/// What edgeHub knows of a module.
#[derive(Debug)]
struct Module {
    key: Key,
    /// The copy that is served while IoT Hub is out of reach.
    copy: Option<Twin>,
    /// What IoT Hub has not taken yet.
    pending: Option<Value>,
    /// Subscriptions outlive the connection; `None` is no session.
    session: Option<Vec<Subscription>>,
    client: Option<Client>,
    /// How often it was let in.
    admissions: u64,
    inputs: VecDeque<Input>,
    /// Calls that wait for the module's answer, by their rid in lower case.
    calls: BTreeMap<String, oneshot::Sender<Answered>>,
}

/// A connection that was let in.
#[derive(Debug)]
struct Client {
    number: u64,
    /// When its token expires, in seconds since 1970.
    expiry: u64,
    outgoing: mpsc::UnboundedSender<Packet>,
    packet_id: u16,
    /// Dropped to end the connection.
    _leave: oneshot::Sender<()>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            release: Release::Current,
            sync: Duration::from_secs(5),
            reauthentication: Duration::from_secs(300),
            method_delay: Duration::from_secs(3),
            acknowledgement: Duration::from_secs(30),
            cloud: Duration::ZERO,
            connect: Duration::from_secs(60),
            clock_ahead: 0,
        }
    }
}

impl EdgeHub {
    /// An edgeHub for the modules with these keys.
    pub(super) fn new(
        names: Names,
        behaviour: Behaviour,
        routes: Vec<Route>,
        keys: BTreeMap<String, Key>,
        cloud: Arc<IotHub>,
    ) -> Self {
        let module = |key| Module {
            key,
            copy: None,
            pending: None,
            session: None,
            client: None,
            admissions: 0,
            inputs: VecDeque::new(),
            calls: BTreeMap::new(),
        };
        let modules = keys.into_iter().map(|(id, key)| (id, module(key))).collect();
        let state = Mutex::new(State { is_upstream: true, modules });
        Self { names, behaviour, routes, cloud, state, changed: watch::Sender::new(()), counter: AtomicU64::new(0) }
    }

    /// The tasks that go on by themselves: patches to IoT Hub, changes from there, tokens that expire.
    pub(super) async fn run(self: Arc<Self>, mut changes: mpsc::UnboundedReceiver<Change>) {
        let mut sync = tokio::time::interval(self.behaviour.sync);
        let mut reauthentication = tokio::time::interval(self.behaviour.reauthentication);
        let mut resend = tokio::time::interval(self.behaviour.acknowledgement / 4);
        loop {
            tokio::select! {
                _ = sync.tick() => self.sync(),
                _ = reauthentication.tick() => self.reauthenticate(),
                _ = resend.tick() => self.resend(),
                change = changes.recv() => match change {
                    Some(change) => self.apply(&change),
                    None => return,
                },
            }
        }
    }

    /// Cuts edgeHub off from IoT Hub, or lets it reach it again: then changes that it missed are told to the modules.
    pub fn set_upstream(&self, is_up: bool) {
        self.state().is_upstream = is_up;
        if is_up {
            self.catch_up();
        }
    }

    /// Forgets all sessions and closes all connections, as a restart without persistent storage does.
    pub fn lose_sessions(&self) {
        for module in self.state().modules.values_mut() {
            (module.session, module.client) = (None, None);
            module.inputs.clear();
        }
    }

    /// Closes the connection of a module; whether there was one.
    pub fn disconnect(&self, module: &str) -> bool {
        self.state().modules.get_mut(module).is_some_and(|module| module.client.take().is_some())
    }

    /// Whether a module is connected.
    pub fn is_connected(&self, module: &str) -> bool {
        self.state().modules.get(module).is_some_and(|module| module.client.is_some())
    }

    /// How often a module was let in so far.
    pub fn admissions(&self, module: &str) -> u64 {
        self.state().modules.get(module).map_or(0, |module| module.admissions)
    }

    /// Closes those whose token has expired.
    fn reauthenticate(&self) {
        let now = self.now();
        for module in self.state().modules.values_mut() {
            module.client.take_if(|client| client.expiry <= now);
        }
    }

    /// Seconds since 1970, by its own clock.
    fn now(&self) -> u64 {
        token::now().saturating_add_signed(self.behaviour.clock_ahead)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

impl Module {
    /// The best QoS (0 or 1) at which the module wants `topic`, and since when; `None` where it does not.
    fn subscribed(&self, topic: &str) -> Option<(u8, Instant)> {
        let session = self.session.as_ref()?;
        let matching = session.iter().filter(|subscription| subscription.matches(topic));
        matching.max_by_key(|subscription| subscription.qos).map(|subscription| (subscription.qos, subscription.since))
    }

    /// Publishes to the module, where it is there and wants it: the packet id, which is 0 at QoS 0.
    fn publish(&mut self, topic: &ToModule, payload: Vec<u8>) -> Option<u16> {
        let topic = topic.to_string();
        let (qos, _) = self.subscribed(&topic)?;
        let client = self.client.as_mut()?;
        let mut publish = Publish::new(topic, if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }, payload);
        if qos > 0 {
            client.packet_id = client.packet_id.checked_add(1).unwrap_or(1);
            publish.pkid = client.packet_id;
        }
        let packet_id = publish.pkid;
        client.outgoing.send(Packet::Publish(publish)).ok().map(|()| packet_id)
    }
}
