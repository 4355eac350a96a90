//! Direct methods: a call reaches a module that is connected and has subscribed, and waits for its answer
//! (`iotedge-protocol.md` §B6, `iothub-limits.md` §3).

use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::EdgeHub;
use super::inputs::json_of;
use crate::hub::topic::ToModule;

/// A direct method as it is called.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Call {
    pub(in crate::sim) name: String,
    pub(in crate::sim) payload: Value,
    /// How long to wait for the answer.
    pub(in crate::sim) response: Duration,
    /// How long to wait for the module to subscribe.
    pub(in crate::sim) connect: Duration,
}

/// What a module answered.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim) struct Answered {
    pub(in crate::sim) status: i32,
    pub(in crate::sim) payload: Value,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::sim) enum CallError {
    #[error("the module is not connected, or takes no methods")]
    NotConnected,
    #[error("the module did not answer in time")]
    TimedOut,
}

impl EdgeHub {
    /// Calls a method of a module.
    pub(in crate::sim) async fn call(&self, id: &str, call: Call) -> Result<Answered, CallError> {
        self.wait_for_subscription(id, call.connect).await?;
        let rid = format!("00000000-0000-4000-8000-{:012x}", self.next_number());
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state();
            let module = state.modules.get_mut(id).ok_or(CallError::NotConnected)?;
            let topic = ToModule::Method { name: call.name, rid: rid.clone() };
            module.publish(&topic, call.payload.to_string().into_bytes()).ok_or(CallError::NotConnected)?;
            module.calls.insert(rid.clone(), answer);
        }
        let answered = timeout(call.response, answered).await;
        if let Some(module) = self.state().modules.get_mut(id) {
            module.calls.remove(&rid);
        }
        answered.ok().and_then(Result::ok).ok_or(CallError::TimedOut)
    }

    /// The same for a call from the cloud, which needs the way to IoT Hub.
    pub(in crate::sim) async fn call_from_cloud(&self, id: &str, call: Call) -> Result<Answered, CallError> {
        let is_upstream = self.state().is_upstream;
        if is_upstream { self.call(id, call).await } else { Err(CallError::NotConnected) }
    }

    /// A module has answered; nobody waits for answers that come late.
    pub(super) fn answered(&self, id: &str, rid: &str, status: i32, body: &[u8]) {
        let waiting = self.state().modules.get_mut(id).and_then(|module| module.calls.remove(&rid.to_lowercase()));
        if let Some(waiting) = waiting {
            let _ = waiting.send(Answered { status, payload: json_of(body) });
        }
    }

    async fn wait_for_subscription(&self, id: &str, at_most: Duration) -> Result<(), CallError> {
        let deadline = Instant::now() + at_most;
        let mut changed = self.changed.subscribe();
        let mut has_waited = false;
        while !self.takes_methods(id) {
            has_waited = true;
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(CallError::NotConnected),
            }
        }
        if has_waited {
            sleep(self.behaviour.method_delay).await;
        }
        Ok(())
    }

    fn takes_methods(&self, id: &str) -> bool {
        let topic = ToModule::Method { name: "m".to_owned(), rid: "0".to_owned() }.to_string();
        let takes = |module: &super::Module| module.client.is_some() && module.subscribed(&topic).is_some();
        self.state().modules.get(id).is_some_and(takes)
    }
}
