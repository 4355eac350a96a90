//! What IoT Edge gives a module: an identity from the environment, tokens that prove it, and the authorities to trust.
//! It speaks with the workload API and knows nothing of MQTT.

mod credentials;
mod identity;
mod sas;
#[cfg(feature = "azure-sdk")]
mod sdk;
mod workload;

pub use credentials::{CaFile, Credentials, CredentialsError, KeyCredentials, Pending};
pub use identity::{Identity, IdentityError, Proof};
pub use sas::{Key, KeyError, Resource, Token};
#[cfg(feature = "azure-sdk")]
pub use sdk::SdkCredentials;
pub use workload::{Listing, Sibling, Workload, WorkloadError};
