//! The session over MQTT: one task owns the event loop of one connection after the other, and everything else talks to
//! it through channels (`iotedge-protocol.md` §A3, §B).

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rumqttc::{EventLoop, Publish};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Answered, ConnectError, Connection, Endpoint, Route, next};
use super::pace::{Pace, chance};
use super::{Answer, Event, Session, SessionError};
use crate::hub::desired::{Desired, Step};
use crate::hub::message::{Input, Message};
use crate::hub::method::{Request, Response};
use crate::hub::topic::{FromModule, Properties, ToModule};
use crate::iotedge::{Credentials, Identity, Token};

/// Methods that wait for [`Session::next`]. One more is answered with 429.
const METHODS_WAITING: usize = 16;
/// Messages to inputs that wait for it. One more is dropped.
const INPUTS_WAITING: usize = 256;
/// How long an answer to a method is of use: no caller waits longer (`iothub-limits.md` §3).
const METHOD: std::time::Duration = std::time::Duration::from_secs(300);

/// A session with edgeHub over MQTT 3.1.1, over TLS or WebSocket.
///
/// A slow consumer of [`Session::next`] stalls nothing: of desired properties only the latest are kept for it, methods
/// beyond a few are answered with 429, and every PUBLISH is acknowledged as it arrives.
pub struct Mqtt {
    inner: Arc<Inner>,
    incoming: tokio::sync::Mutex<Incoming>,
    task: JoinHandle<()>,
}

struct Inner {
    identity: Identity,
    endpoint: Endpoint,
    credentials: Arc<dyn Credentials>,
    pace: Pace,
    link: watch::Sender<Link>,
    known: Mutex<Desired>,
    desired: watch::Sender<Option<Value>>,
    methods: mpsc::Sender<(Request, Answer)>,
    inputs: mpsc::Sender<Input>,
    stop: watch::Sender<bool>,
    /// Tells requests of this run from those of another one, and from each other.
    run: u64,
    requests: AtomicU64,
}

/// What [`Session::next`] waits for.
struct Incoming {
    methods: mpsc::Receiver<(Request, Answer)>,
    inputs: mpsc::Receiver<Input>,
    desired: watch::Receiver<Option<Value>>,
}

/// How things stand with edgeHub.
#[derive(Clone)]
enum Link {
    /// No connection, and why.
    Down(Arc<str>),
    /// Connected and subscribed.
    Up(Arc<Connection>),
    /// Over.
    Closed,
}

impl Mqtt {
    /// Starts a session that connects by itself, again and again. Call it inside a tokio runtime.
    pub fn start(identity: Identity, endpoint: Endpoint, credentials: Arc<dyn Credentials>, pace: Pace) -> Self {
        let (methods, waiting) = mpsc::channel(METHODS_WAITING);
        let desired = watch::Sender::new(None);
        let (inputs, handed) = mpsc::channel(INPUTS_WAITING);
        let incoming = Incoming { methods: waiting, inputs: handed, desired: desired.subscribe() };
        let incoming = tokio::sync::Mutex::new(incoming);
        let inner = Arc::new(Inner {
            identity,
            endpoint,
            credentials,
            pace,
            link: watch::Sender::new(Link::Down("not connected yet".into())),
            known: Mutex::new(Desired::default()),
            desired,
            methods,
            inputs,
            stop: watch::Sender::new(false),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any number will do")]
            run: (chance() * f64::from(u32::MAX)) as u64,
            requests: AtomicU64::new(0),
        });
        let over = Over(Arc::clone(&inner));
        let task = tokio::spawn(async move { Arc::clone(&over.0).run().await });
        Self { inner, incoming, task }
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session for Mqtt {
    async fn twin(&self) -> Result<Value, SessionError> {
        let connection = self.inner.connection().await?;
        self.inner.read_twin(&connection).await
    }

    async fn report(&self, patch: Value) -> Result<(), SessionError> {
        let connection = self.inner.connection().await?;
        let rid = self.inner.rid();
        let topic = FromModule::TwinReport { rid: Some(rid.clone()) };
        let request = connection.request(&topic, patch.to_string(), rid);
        let Answered { status, .. } = self.inner.in_time("the patch of the reported properties", request).await?;
        verdict(status, "the patch of the reported properties")
    }

    async fn send(&self, message: Message) -> Result<(), SessionError> {
        let connection = self.inner.connection().await?;
        let resource = &self.inner.identity.resource;
        let (device, module) = (resource.device.clone(), resource.module.clone());
        let topic = FromModule::Telemetry { device, module, properties: message.properties() };
        self.inner.in_time("a message", connection.publish(&topic, message.body.to_string())).await
    }

    async fn next(&self) -> Option<Event> {
        let mut incoming = self.incoming.lock().await;
        let mut link = self.inner.link.subscribe();
        let Incoming { methods, inputs, desired } = &mut *incoming;
        tokio::select! {
            biased;
            _ = link.wait_for(|link| matches!(link, Link::Closed)) => None,
            Some((request, answer)) = methods.recv() => Some(Event::Method(request, answer)),
            Ok(()) = desired.changed() => desired.borrow_and_update().clone().map(Event::Desired),
            Some(input) = inputs.recv() => Some(Event::Input(input)),
        }
    }

    fn is_connected(&self) -> bool {
        matches!(*self.inner.link.borrow(), Link::Up(_))
    }

    async fn close(&self) {
        let mut link = self.inner.link.subscribe();
        self.inner.stop.send_replace(true);
        let _ = link.wait_for(|link| matches!(link, Link::Closed)).await;
    }
}

impl Inner {
    /// One connection after the other, until the session is closed.
    async fn run(self: Arc<Self>) {
        let (mut route, mut failures, mut token) = (Route::Mqtt, 0_u32, None);
        loop {
            let opened = tokio::select! {
                opened = self.open(&mut route, token.take()) => opened,
                () = self.stopped() => break,
            };
            let why = match opened {
                Ok((connection, events)) => {
                    let since = Instant::now();
                    let ended = Arc::clone(&self).serve(&connection, events).await;
                    match ended {
                        Ended::Closed => break,
                        Ended::Renewing(fresh) => {
                            tracing::info!("The token is renewed: connecting again.");
                            (token, failures) = (Some(fresh), 0);
                            continue;
                        }
                        Ended::Lost(why) => {
                            // A connection that is lost at once, again and again, does not start anew.
                            failures =
                                if since.elapsed() >= self.pace.pause.1 { 1 } else { failures.saturating_add(1) };
                            format!("{}: {why}", self.endpoint.describe(route))
                        }
                    }
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    why
                }
            };
            let pause = self.pace.pause_after(failures);
            tracing::warn!(%why, pause_s = pause.as_secs_f64(), "No connection to edgeHub.");
            self.link.send_replace(Link::Down(why.into()));
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stopped() => break,
            }
        }
    }

    /// Signs, asks whom to trust, and connects: on the way that worked last, else on the other one.
    async fn open(&self, route: &mut Route, token: Option<Token>) -> Result<(Arc<Connection>, EventLoop), String> {
        let token = match token {
            Some(token) => token,
            None => self.sign().await?,
        };
        let trust = self.credentials.trust().await.map_err(|error| error.to_string())?;
        let open =
            async |route| Connection::open(&self.identity, &self.endpoint, route, &token, &trust, &self.pace).await;
        let closed = match open(*route).await {
            Ok(opened) => return Ok(opened),
            Err(ConnectError::Refused(why)) => return Err(why),
            Err(ConnectError::Closed(why)) => why,
        };
        match open(route.other()).await {
            Ok(opened) => {
                *route = route.other();
                tracing::info!(way = self.endpoint.describe(*route), "Another way was open.");
                Ok(opened)
            }
            Err(error) => Err(format!("{closed}; {error}")),
        }
    }

    /// Keeps a connection until it is lost, the token is renewed, or the session is closed.
    async fn serve(self: Arc<Self>, connection: &Arc<Connection>, mut events: EventLoop) -> Ended {
        tracing::info!("Connected to edgeHub.");
        let reading = async {
            loop {
                match next(&mut events).await {
                    Ok(Some(publish)) => self.receive(connection, &publish),
                    Ok(None) => {}
                    Err(why) => break why,
                }
            }
        };
        let ending = async {
            let token = tokio::select! {
                token = self.renewal() => Some(token),
                () = self.stopped() => None,
                () = self.keep_up(connection) => None,
            };
            // Requests wait for the next connection from here on; those under way get their answers.
            self.link.send_replace(Link::Down("the token is being renewed".into()));
            connection.finish(self.pace.drain).await;
            token
        };
        let mut planned = None;
        let why = {
            let (mut reading, mut ending) = (pin!(reading), pin!(ending));
            let mut overdue = pin!(sleep(std::time::Duration::MAX));
            loop {
                tokio::select! {
                    why = &mut reading => break why,
                    token = &mut ending, if planned.is_none() => {
                        planned = Some(token);
                        overdue.as_mut().set(sleep(self.pace.drain.saturating_mul(2)));
                    }
                    () = &mut overdue, if planned.is_some() => break "it did not end in time".to_owned(),
                }
            }
        };
        connection.fail();
        match planned {
            Some(Some(token)) => Ended::Renewing(token),
            Some(None) => Ended::Closed,
            None => Ended::Lost(why),
        }
    }

    /// Subscribes, then reads the twin whenever something may have been missed. Never ready.
    async fn keep_up(&self, connection: &Arc<Connection>) {
        while let Err(why) = connection.subscribe(&self.identity.resource, self.pace.request).await {
            tracing::warn!(%why, "Subscribing failed.");
            sleep(self.pace.pause_after(1)).await;
        }
        self.link.send_replace(Link::Up(Arc::clone(connection)));
        connection.ask.notify_one();
        loop {
            connection.ask.notified().await;
            while let Err(error) = self.read_twin(connection).await {
                tracing::warn!(%error, "The twin could not be read; it is asked for again.");
                sleep(self.pace.twin.mul_f64(0.5 + 0.5 * chance())).await;
            }
            // edgeHub asks the cloud each time, whatever makes us ask.
            sleep(self.pace.pause.0).await;
        }
    }

    /// Ready when the session is to end.
    async fn stopped(&self) {
        // An error means that nobody can say "stop" any more, which says it.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Waits until the token is due and signs another one, before anything is disconnected.
    async fn renewal(&self) -> Token {
        sleep(self.pace.renewal()).await;
        let mut failures = 0_u32;
        loop {
            match self.sign().await {
                Ok(token) => return token,
                Err(why) => tracing::warn!(%why, "The token was not renewed; the old one is kept."),
            }
            failures = failures.saturating_add(1);
            sleep(self.pace.pause_after(failures)).await;
        }
    }

    async fn sign(&self) -> Result<Token, String> {
        let expiry = now().saturating_add(self.pace.token).map_err(|error| error.to_string())?;
        self.credentials.token(&self.identity.resource, expiry).await.map_err(|error| error.to_string())
    }

    /// A PUBLISH arrived. It is acknowledged already; what does not read is passed over.
    fn receive(self: &Arc<Self>, connection: &Arc<Connection>, publish: &Publish) {
        let topic = std::str::from_utf8(&publish.topic).ok().and_then(ToModule::parse);
        match topic {
            Some(ToModule::TwinAnswer { status, rid, .. }) => {
                if let Some(twin) = connection.answered(&rid, status, &publish.payload) {
                    let step = self.known().read(&twin);
                    self.take(connection, step);
                }
            }
            Some(ToModule::Desired { version }) => {
                let patch = serde_json::from_slice(&publish.payload).unwrap_or_default();
                let step = self.known().patch(version, &patch);
                self.take(connection, step);
            }
            Some(ToModule::Method { name, rid }) => self.invoked(name, rid, &publish.payload),
            Some(ToModule::Input { device, module, input, properties }) if self.is_us(&device, &module) => {
                self.handed(input, &properties, &publish.payload);
            }
            Some(ToModule::Input { .. }) | None => {
                tracing::debug!(bytes = publish.payload.len(), "A message on an unknown topic was passed over.");
            }
        }
    }

    fn take(&self, connection: &Connection, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Changed(section) => {
                self.desired.send_replace(Some(section));
            }
            Step::Ask => connection.ask.notify_one(),
        }
    }

    /// Hands a message to an input on, unless we sent it ourselves: a route of twin changes brings our own as well.
    fn handed(&self, name: String, properties: &Properties, body: &[u8]) {
        let sender_module = properties.get(Properties::SENDER_MODULE).map(str::to_owned);
        let sender_device = properties.get(Properties::SENDER_DEVICE).unwrap_or(&self.identity.resource.device);
        if sender_module.as_deref().is_some_and(|module| self.is_us(sender_device, module)) {
            return;
        }
        let input = Input { name, sender_module, body: body.to_vec() };
        if self.inputs.try_send(input).is_err() {
            tracing::warn!("A message to an input was dropped: too many wait.");
        }
    }

    fn is_us(&self, device: &str, module: &str) -> bool {
        let resource = &self.identity.resource;
        resource.device == device && resource.module == module
    }

    /// Hands a method on and sees to it that it is answered.
    fn invoked(self: &Arc<Self>, name: String, rid: String, payload: &[u8]) {
        let (answer, mut answered) = Answer::new();
        let payload = if payload.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(payload) };
        let refusal = match payload {
            Ok(payload) => match self.methods.try_send((Request { name, payload }, answer)) {
                Ok(()) => None,
                Err(_) => Some(Response::error(429, "too many methods are waiting; call again in a moment")),
            },
            Err(error) => Some(Response::error(400, format!("the payload is no JSON: {error}"))),
        };
        if refusal.is_some() {
            answered.close();
        }
        tokio::spawn(Arc::clone(self).answer(rid, answered, refusal));
    }

    /// Waits for the answer to a method and publishes it, while anybody can be waiting for it.
    async fn answer(self: Arc<Self>, rid: String, answered: oneshot::Receiver<Response>, refusal: Option<Response>) {
        let response = match refusal {
            Some(response) => response,
            None => match timeout(METHOD, answered).await {
                Ok(answered) => answered.unwrap_or_else(|_| Response::error(500, "internal error: no answer was made")),
                Err(_) => return,
            },
        };
        let topic = FromModule::MethodAnswer { status: response.status.into(), rid };
        let published = async { self.connection().await?.publish(&topic, response.payload.to_string()).await };
        if let Err(error) = self.in_time("an answer to a method", published).await {
            tracing::debug!(%error, "An answer to a method was dropped.");
        }
    }

    async fn read_twin(&self, connection: &Connection) -> Result<Value, SessionError> {
        let rid = self.rid();
        let topic = FromModule::TwinGet { rid: rid.clone() };
        let request = connection.request(&topic, String::new(), rid);
        let Answered { status, twin } = self.in_time("the request for the twin", request).await?;
        verdict(status, "the request for the twin")?;
        twin.ok_or_else(|| SessionError::Unavailable("edgeHub does not know the twin yet".to_owned()))
    }

    /// The connection, waited for a little: it may be that one is being renewed.
    async fn connection(&self) -> Result<Arc<Connection>, SessionError> {
        let mut link = self.link.subscribe();
        let up = timeout(self.pace.patience, link.wait_for(|link| !matches!(link, Link::Down(_)))).await;
        match up.ok().and_then(Result::ok).map(|link| link.clone()) {
            Some(Link::Up(connection)) => Ok(connection),
            Some(Link::Closed) => Err(SessionError::Unavailable("the session is closed".to_owned())),
            Some(Link::Down(_)) | None => {
                let why = match &*self.link.borrow() {
                    Link::Down(why) => why.to_string(),
                    Link::Up(_) | Link::Closed => "the connection changes".to_owned(),
                };
                Err(SessionError::Unavailable(why))
            }
        }
    }

    async fn in_time<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, SessionError>>,
    ) -> Result<T, SessionError> {
        let late = |_| {
            let seconds = self.pace.request.as_secs_f64();
            SessionError::Unavailable(format!("edgeHub did not answer {what} within {seconds} s"))
        };
        timeout(self.pace.request, request).await.map_err(late)?
    }

    fn rid(&self) -> String {
        format!("{:x}-{:x}", self.run, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Desired> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the session is over, however its task ended.
struct Over(Arc<Inner>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.link.send_replace(Link::Closed);
    }
}

/// How a connection ended.
enum Ended {
    /// Nobody planned it.
    Lost(String),
    /// To go on with this token.
    Renewing(Token),
    /// For good.
    Closed,
}

/// What a status of edgeHub or IoT Hub means for who asked (`iotedge-protocol.md` §B5).
fn verdict(status: u16, what: &str) -> Result<(), SessionError> {
    match status {
        200..=299 => Ok(()),
        408 | 429 | 500..=599 => Err(SessionError::Unavailable(format!("status {status} for {what}"))),
        _ => Err(SessionError::Refused { status, message: format!("it does not take {what}") }),
    }
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the clock of the world")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_worth_another_try() {
        for (status, worth) in [(400, false), (404, false), (413, false), (429, true), (500, true), (503, true)] {
            let unavailable = matches!(verdict(status, "it"), Err(SessionError::Unavailable(_)));
            assert_eq!(unavailable, worth, "{status}");
        }
        assert!(verdict(204, "it").is_ok() && verdict(200, "it").is_ok());
    }
}
