//! How IoT Edge on Kubernetes translates modules into Kubernetes objects (`k8s-translation.md`), and how those are
//! written: pure data to data. Judges nothing; rules do.

pub mod admission;
mod agent_settings;
mod environment;
mod lenient;
mod names;
pub mod objects;
mod peers;
pub(crate) mod quantity;
pub(crate) mod resources;
mod service;
pub mod status;
pub(crate) mod volume;

pub use agent_settings::{AgentSettingError, AgentSettings, ConfigVolume, Owner, same_limits};
pub(crate) use environment::{GATEWAY, is_set_by_agent};
pub use names::{annotation_key, dns_domain, dns_label, dns_value, k8s_value, label_value, object_name};
pub(crate) use names::{is_env_name, label_fault, service_variable};
pub(crate) use peers::{Call, Calls};
pub use service::ServiceKind;
pub(crate) use service::{HUB_PORTS, SERVICE_TYPE, Service, ServicePort, declare_port, means_service_options};
