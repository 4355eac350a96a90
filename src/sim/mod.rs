//! An embedded IoT Edge device: siblings and a GPU that follow a scenario, a hub in the same process for tests that move
//! the time, and the whole device on sockets, which Microsoft's clients take for one.

mod certificates;
mod device;
mod edge_hub;
mod embedded;
mod gpus;
mod hub;
mod iot_hub;
mod listen;
mod scenario;
mod service;
mod token;
mod twin;
mod workload;

pub use certificates::CertificateError;
pub use device::Device;
pub use edge_hub::{Behaviour, EdgeHub, Route, RouteError};
pub use embedded::{EmbeddedConfig, EmbeddedDevice, StartError};
pub use hub::{Heard, Hub};
pub use iot_hub::{Arrival, IotHub, Refusal};
pub use scenario::Scenario;
pub use token::Key;
pub use twin::Release;
