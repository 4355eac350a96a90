//! Messages to the inputs of modules: one at a time and in order, done with PUBACK, else sent again
//! (`iotedge-protocol.md` §B4).

use serde_json::Value;
use tokio::time::Instant;

use super::route::{Route, Sink};
use super::{EdgeHub, Module};
use crate::hub::topic::{Properties, ToModule};

/// A message that waits for a module.
#[derive(Debug)]
pub(super) struct Input {
    name: String,
    properties: Properties,
    body: Vec<u8>,
    created: Instant,
    /// With which packet id it is on its way, and since when.
    sent: Option<(u16, Instant)>,
}

impl EdgeHub {
    /// Leads a message of a module where the routes say; without one it is dropped.
    pub(super) fn route_message(&self, from: &str, output: Option<&str>, properties: &Properties, body: &[u8]) {
        self.route(from, |route| route.takes_message(from, output), properties, body);
    }

    /// Leads a reported patch where the routes say (§C6).
    pub(super) fn route_twin_change(&self, from: &str, patch: &[u8]) {
        self.route(from, Route::takes_twin_changes, &Properties::default(), patch);
    }

    /// A module has acknowledged a packet.
    pub(super) fn acknowledged(&self, id: &str, packet_id: u16) {
        if let Some(module) = self.state().modules.get_mut(id) {
            let is_done = |input: &Input| input.sent.is_some_and(|(sent, _)| sent == packet_id);
            if module.inputs.front().is_some_and(is_done) {
                module.inputs.pop_front();
                module.deliver(&self.names.device, id);
            }
        }
    }

    /// Sends what a module may get now.
    pub(super) fn deliver(&self, id: &str) {
        if let Some(module) = self.state().modules.get_mut(id) {
            module.deliver(&self.names.device, id);
        }
    }

    /// Sends again what was not acknowledged in time.
    pub(super) fn resend(&self) {
        for (id, module) in &mut self.state().modules {
            let sent = module.inputs.front().and_then(|input| input.sent);
            if sent.is_some_and(|(_, since)| since.elapsed() >= self.behaviour.acknowledgement) {
                module.start_again(&self.names.device, id);
            }
        }
    }

    fn route(&self, from: &str, takes: impl Fn(&Route) -> bool, properties: &Properties, body: &[u8]) {
        let mut sent: Properties = properties.iter().filter(|(name, _)| *name != Properties::OUTPUT).collect();
        sent.set(Properties::SENDER_DEVICE, self.names.device.as_str());
        sent.set(Properties::SENDER_MODULE, from);
        let mut is_routed = false;
        for route in self.routes.iter().filter(|route| takes(route)) {
            is_routed = true;
            match &route.sink {
                Sink::Upstream => self.cloud.hear(from, properties.clone(), body.to_vec()),
                Sink::Input { module: id, input } => {
                    let mut state = self.state();
                    let Some(module) = state.modules.get_mut(id) else { continue };
                    let (name, properties, body) = (input.clone(), sent.clone(), body.to_vec());
                    module.inputs.push_back(Input { name, properties, body, created: Instant::now(), sent: None });
                    module.deliver(&self.names.device, id);
                }
            }
        }
        if !is_routed {
            tracing::info!(module = from, "A message was dropped: no route takes it.");
        }
    }
}

impl Module {
    /// What was on its way is to be sent anew.
    pub(super) fn start_again(&mut self, device: &str, id: &str) {
        if let Some(input) = self.inputs.front_mut() {
            input.sent = None;
        }
        self.deliver(device, id);
    }

    fn deliver(&mut self, device: &str, id: &str) {
        while let Some(Input { name, properties, body, created, sent: None }) = self.inputs.front() {
            let (device, module, input) = (device.to_owned(), id.to_owned(), name.clone());
            let topic = ToModule::Input { device, module, input, properties: properties.clone() };
            let (created, body) = (*created, body.clone());
            match self.subscribed(&topic.to_string()) {
                None => return,
                // A subscription that is newer than the message does not get it (§B2).
                Some((_, since)) if since > created => {}
                Some(_) => match self.publish(&topic, body) {
                    None => return,
                    Some(0) => {}
                    Some(packet_id) => {
                        if let Some(front) = self.inputs.front_mut() {
                            front.sent = Some((packet_id, Instant::now()));
                        }
                        return;
                    }
                },
            }
            self.inputs.pop_front();
        }
    }
}

/// A body as JSON, or as text where it is none.
pub(super) fn json_of(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}
