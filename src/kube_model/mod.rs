//! How IoT Edge on Kubernetes translates modules into Kubernetes objects (`k8s-translation.md`), and how those are
//! written: pure data to data. Judges nothing; rules do.

mod environment;
mod names;
mod peers;
pub(crate) mod quantity;
pub(crate) mod resources;
mod service;
pub(crate) mod volume;

pub(crate) use environment::{GATEWAY, is_set_by_agent};
pub(crate) use names::{annotation_key, is_env_name, label_fault, service_variable};
pub use names::{dns_label, object_name};
pub(crate) use peers::{Call, Calls};
pub(crate) use service::{
    HUB_PORTS, SERVICE_TYPE, Service, ServiceKind, ServicePort, declare_port, means_service_options,
};
