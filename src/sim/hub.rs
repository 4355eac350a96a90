//! A hub in the same process: keeps the twin, refuses what the oldest edgeHub would refuse, hears telemetry, invokes
//! methods.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, watch};

use super::Release;
use crate::hub::message::{MAX_MESSAGE, Message};
use crate::hub::method::{Request, Response};
use crate::hub::reported;
use crate::link::{Answer, Event, Session, SessionError};

/// What reached the hub.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A patch of the reported properties, already merged.
    Reported(Value),
    /// A telemetry message.
    Telemetry(Message),
}

/// The hub, and the module's session with it.
#[derive(Debug)]
pub struct Hub {
    desired: watch::Sender<Value>,
    reported: watch::Sender<Value>,
    heard: mpsc::UnboundedSender<Heard>,
    invoked: mpsc::UnboundedSender<(Request, Answer)>,
    incoming: Mutex<Incoming>,
    closed: watch::Sender<bool>,
}

/// What the module's end of the session waits for.
#[derive(Debug)]
struct Incoming {
    methods: mpsc::UnboundedReceiver<(Request, Answer)>,
    desired: watch::Receiver<Value>,
}

impl Hub {
    /// A hub whose twin has `desired` properties, and what it will hear.
    pub fn new(desired: Value) -> (Arc<Self>, mpsc::UnboundedReceiver<Heard>) {
        let (heard, ears) = mpsc::unbounded_channel();
        let (invoked, methods) = mpsc::unbounded_channel();
        let desired = watch::Sender::new(versioned(desired, 1));
        let mut news = desired.subscribe();
        // The first look at the twin is news too.
        news.mark_changed();
        let incoming = Mutex::new(Incoming { methods, desired: news });
        let (reported, closed) = (watch::Sender::new(json!({ "$version": 1 })), watch::Sender::new(false));
        let hub = Self { desired, reported, heard, invoked, incoming, closed };
        (Arc::new(hub), ears)
    }

    /// The reported properties as they are now, without `$version`.
    pub fn reported(&self) -> Value {
        let mut reported = self.reported.borrow().clone();
        if let Some(members) = reported.as_object_mut() {
            members.shift_remove("$version");
        }
        reported
    }

    /// Replaces the desired properties. They get the next `$version` where they bring none.
    pub fn desire(&self, desired: Value) {
        let version = version(&self.desired.borrow()) + 1;
        self.desired.send_replace(versioned(desired, version));
    }

    /// Invokes a direct method and waits for the answer; 504 where none comes.
    pub async fn invoke(&self, name: &str, payload: Value) -> Response {
        let (answer, answered) = Answer::new();
        let request = Request { name: name.to_owned(), payload };
        let no_answer = || Response::error(504, "the module did not answer");
        match self.invoked.send((request, answer)) {
            Ok(()) => answered.await.unwrap_or_else(|_| no_answer()),
            Err(_) => no_answer(),
        }
    }
}

impl Session for Hub {
    async fn twin(&self) -> Result<Value, SessionError> {
        Ok(json!({ "desired": *self.desired.borrow(), "reported": *self.reported.borrow() }))
    }

    async fn report(&self, patch: Value) -> Result<(), SessionError> {
        Release::Old.check(&patch).map_err(|message| SessionError::Refused { status: 400, message })?;
        let mut merged = self.reported();
        reported::merge(&mut merged, &patch);
        // IoT Hub's own limit on the section; edgeHub would not notice (`iothub-limits.md` §1.4).
        let size = reported::size(&merged);
        if size > 32 * 1024 {
            let message = format!("the section would have {size} bytes, more than 32 KB");
            return Err(SessionError::Refused { status: 413, message });
        }
        let version = version(&self.reported.borrow()) + 1;
        self.reported.send_replace(versioned(merged, version));
        self.hear(Heard::Reported(patch))
    }

    async fn send(&self, message: Message) -> Result<(), SessionError> {
        let size = message.body.to_string().len();
        if size > MAX_MESSAGE {
            let message = format!("the message has {size} bytes, more than 256 KB");
            return Err(SessionError::Refused { status: 413, message });
        }
        self.hear(Heard::Telemetry(message))
    }

    async fn next(&self) -> Option<Event> {
        let mut incoming = self.incoming.lock().await;
        let mut closed = self.closed.subscribe();
        let Incoming { methods, desired } = &mut *incoming;
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => None,
            method = methods.recv() => method.map(|(request, answer)| Event::Method(request, answer)),
            changed = desired.changed() => {
                changed.ok().map(|()| Event::Desired(desired.borrow_and_update().clone()))
            }
        }
    }

    fn is_connected(&self) -> bool {
        !*self.closed.borrow()
    }

    async fn close(&self) {
        self.closed.send_replace(true);
    }
}

impl Hub {
    fn hear(&self, heard: Heard) -> Result<(), SessionError> {
        self.heard.send(heard).map_err(|_| SessionError::Unavailable("nobody listens at the hub".to_owned()))
    }
}

fn version(section: &Value) -> u64 {
    section["$version"].as_u64().unwrap_or(0)
}

/// `section` with `version`, unless it has one.
fn versioned(mut section: Value, version: u64) -> Value {
    if let Some(members) = section.as_object_mut() {
        members.entry("$version").or_insert_with(|| version.into());
    }
    section
}
