//! How IoT Edge on Kubernetes translates modules into Kubernetes objects (`k8s-translation.md`): pure data to data.
//! Judges nothing; rules do.

mod names;
mod peers;
mod service;

pub(crate) use names::{dns_label, label_fault, object_name};
pub(crate) use peers::{Call, calls_by, calls_to};
pub(crate) use service::{Service, ServiceKind, ServicePort};
