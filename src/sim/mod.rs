//! An embedded IoT Edge device: siblings and a GPU that follow a scenario, and a hub that keeps a twin. The demo and
//! the tests run the real agent on it.

mod device;
mod hub;
mod scenario;

pub use device::Device;
pub use hub::{Heard, Hub};
pub use scenario::Scenario;
