//! How IoT Edge on Kubernetes translates modules into Kubernetes objects (`k8s-translation.md`), and how those are
//! written: pure data to data. Judges nothing; rules do.

mod names;
mod peers;
pub(crate) mod quantity;
pub(crate) mod resources;
mod service;
pub(crate) mod volume;

pub use names::{dns_label, object_name};
pub(crate) use names::{is_env_name, label_fault};
pub(crate) use peers::{Call, calls_by, calls_to};
pub(crate) use service::{HUB_PORTS, SERVICE_TYPE, Service, ServiceKind, ServicePort, means_service_options};
