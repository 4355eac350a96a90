//! The session with edgeHub, as the agent needs it: a twin, telemetry, direct methods. Who implements it owns the
//! connection.

mod connection;
mod mqtt;
mod pace;

pub use connection::Endpoint;
pub use mqtt::Mqtt;
pub use pace::{Backoff, Pace, chance};

use serde_json::Value;
use thiserror::Error;

use crate::hub::message::{Input, Message};
use crate::hub::method::{Request, Response};

/// A session with edgeHub. It connects and connects again by itself; whoever uses it decides what to do again about what
/// did not arrive.
pub trait Session: Send + Sync + 'static {
    /// The module's own twin: `{"desired": {…, "$version": n}, "reported": {…, "$version": n}}`. A twin without
    /// `$version` is one that edgeHub does not know (`iotedge-protocol.md` §B5), which is [`SessionError::Unavailable`].
    fn twin(&self) -> impl Future<Output = Result<Value, SessionError>> + Send;

    /// Patches the reported properties. Done means that edgeHub has it, not that IoT Hub agreed: [`Session::twin`] tells.
    fn report(&self, patch: Value) -> impl Future<Output = Result<(), SessionError>> + Send;

    /// Sends a message to an output; ready once edgeHub has stored it.
    fn send(&self, message: Message) -> impl Future<Output = Result<(), SessionError>> + Send;

    /// The next thing that the cloud wants of us; `None` once the session is over.
    fn next(&self) -> impl Future<Output = Option<Event>> + Send;

    /// Whether edgeHub can be reached right now.
    fn is_connected(&self) -> bool;

    /// Waits for what is under way and disconnects; afterwards [`Session::next`] yields `None`.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// What the cloud wants.
#[derive(Debug)]
pub enum Event {
    /// Desired properties changed; the whole section as it is now, with its `$version`.
    Desired(Value),
    /// Somebody invokes a method and waits for the answer.
    Method(Request, Answer),
    /// A route led a message of another module to one of our inputs.
    Input(Input),
}

/// Where the answer to a method goes.
#[derive(Debug)]
pub struct Answer(tokio::sync::oneshot::Sender<Response>);

impl Answer {
    /// A place for an answer, and where it arrives.
    pub fn new() -> (Self, tokio::sync::oneshot::Receiver<Response>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. Nobody may be waiting any more; that is their right.
    pub fn send(self, response: Response) {
        let _ = self.0.send(response);
    }
}

/// What a session can fail with.
#[derive(Debug, Clone, Error)]
pub enum SessionError {
    /// The hub refused (400, 413): asking again for the same thing is in vain.
    #[error("the hub refused with {status}: {message}")]
    Refused {
        /// 4xx
        status: u16,
        /// Why.
        message: String,
    },
    /// No connection, or the hub is busy (429, 5xx): worth another try.
    #[error("the hub did not answer: {0}")]
    Unavailable(String),
}
