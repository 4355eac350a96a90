//! Twins between module and cloud: edgeHub answers first and asks IoT Hub later (`iothub-limits.md` §1.4).

use serde_json::{Value, json};

use super::EdgeHub;
use crate::hub::topic::ToModule;
use crate::sim::iot_hub::Change;
use crate::sim::twin::{Twin, combine, difference, versioned};

impl EdgeHub {
    /// The twin as edgeHub answers a GET: IoT Hub's own where that can be reached, else the copy, else an empty one.
    pub(super) async fn twin(&self, module: &str) -> Value {
        let is_upstream = self.state().is_upstream;
        if is_upstream {
            tokio::time::sleep(self.behaviour.cloud).await;
            if let Some(twin) = self.cloud.kept(module) {
                let shown = twin.shown();
                self.keep(module, twin);
                return shown;
            }
        }
        let state = self.state();
        let copy = state.modules.get(module).and_then(|module| module.copy.as_ref());
        copy.map_or_else(|| json!({ "desired": {}, "reported": {} }), Twin::shown)
    }

    /// Takes a reported patch: looks at the patch alone, merges it into the copy, and keeps it for IoT Hub. An error is
    /// why it is refused with 400.
    pub(super) fn report(&self, module: &str, patch: &Value) -> Result<(), String> {
        self.behaviour.release.check(patch)?;
        let mut state = self.state();
        let Some(module) = state.modules.get_mut(module) else { return Err(format!("there is no module {module}")) };
        if let Some(copy) = &mut module.copy {
            copy.reported.merge(patch);
        }
        combine(module.pending.get_or_insert_with(|| json!({})), patch);
        Ok(())
    }

    /// Reports for a module that is not connected: a sibling that a scenario plays. An error is why it is refused.
    pub fn report_for(&self, module: &str, patch: &Value) -> Result<(), String> {
        self.report(module, patch)?;
        self.route_twin_change(module, patch.to_string().as_bytes());
        Ok(())
    }

    /// Sends to IoT Hub what waits. What it refuses is kept, and goes with the next patch again.
    pub(super) fn sync(&self) {
        let waiting: Vec<(String, Value)> = {
            let state = self.state();
            let of = |(id, module): (&String, &super::Module)| Some((id.clone(), module.pending.clone()?));
            if state.is_upstream { state.modules.iter().filter_map(of).collect() } else { Vec::new() }
        };
        for (id, patch) in waiting {
            match self.cloud.report(&id, &patch) {
                Ok(()) => {
                    if let Some(module) = self.state().modules.get_mut(&id) {
                        // A patch that came meanwhile waits for the next time, with what it was merged into.
                        module.pending.take_if(|pending| *pending == patch);
                    }
                }
                Err(error) => tracing::warn!(module = id, %error, "Updating reported properties failed."),
            }
        }
    }

    /// Tells a module what changed in the cloud, where edgeHub hears of it.
    pub(super) fn apply(&self, change: &Change) {
        let mut state = self.state();
        if !state.is_upstream {
            return;
        }
        let Some(module) = state.modules.get_mut(&change.module) else { return };
        let topic = ToModule::Desired { version: Some(change.version) };
        module.publish(&topic, versioned(&change.patch, change.version).to_string().into_bytes());
        if let (Some(copy), Some(twin)) = (&mut module.copy, self.cloud.kept(&change.module)) {
            copy.desired = twin.desired;
        }
    }

    /// Tells every module in one patch what it missed; its version may jump.
    pub(super) fn catch_up(&self) {
        for id in self.cloud.modules() {
            let Some(twin) = self.cloud.kept(&id) else { continue };
            {
                let mut state = self.state();
                let Some(module) = state.modules.get_mut(&id) else { continue };
                let missed = module.copy.as_ref().filter(|copy| copy.desired.version() != twin.desired.version());
                if let Some(copy) = missed {
                    let patch = difference(copy.desired.properties(), twin.desired.properties());
                    let version = twin.desired.version();
                    let topic = ToModule::Desired { version: Some(version) };
                    module.publish(&topic, versioned(&patch, version).to_string().into_bytes());
                }
            }
            self.keep(&id, twin);
        }
    }

    fn keep(&self, module: &str, twin: Twin) {
        if let Some(module) = self.state().modules.get_mut(module) {
            module.copy = Some(twin);
        }
    }
}
