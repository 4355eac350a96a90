//! Image pull secrets (`k8s-translation.md` §4 and §6, classes `ImagePullSecret` and `DockerUtil`).

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::super::AgentSettings;
use super::super::names::dns_domain;
use super::{Labels, metadata};
use crate::manifest::Manifest;
use crate::target::Agent;
use crate::text::At;

/// The registry of an image without one.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What stands for a user whose name was overwritten (`Manifest::masked`): nothing could be made of asterisks.
const HIDDEN_USER: &str = "user";

/// An entry of `registryCredentials`. Its `Debug` shows neither user nor password.
pub struct RegistryCredential<'m> {
    /// The entry.
    pub at: At<'m>,
    /// The registry.
    pub address: String,
    /// The user.
    pub username: String,
    password: String,
}

impl<'m> RegistryCredential<'m> {
    /// The credentials of a deployment.
    pub fn of(manifest: &'m Manifest) -> Vec<Self> {
        let settings = manifest.agent().and_then(|agent| agent.get("runtime")?.get("settings"));
        let entries = settings.and_then(|settings| settings.get("registryCredentials"));
        let entries = entries.into_iter().flat_map(At::members);
        let text = |at: At<'_>, key| at.get_ignoring_case(key).and_then(At::as_text).unwrap_or_default().to_owned();
        let hidden = |name: String| {
            let is_hidden = !name.is_empty() && name.chars().all(|c| c == '*');
            if is_hidden { HIDDEN_USER.to_owned() } else { name }
        };
        entries
            .map(|at| Self {
                at,
                address: text(at, "address"),
                username: hidden(text(at, "username")),
                password: text(at, "password"),
            })
            .collect()
    }

    /// Whether the agent takes it for `image`: its address is what stands before the first `/`, if that has a `.` or `:`.
    pub fn is_for(&self, image: &str) -> bool {
        let Some((host, _)) = image.split_once('/') else { return false };
        let host = if host.contains(['.', ':']) { host } else { DOCKER_HUB };
        self.address.eq_ignore_ascii_case(host)
    }
}

impl fmt::Debug for RegistryCredential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredential").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The name of an image pull secret; `None` where the agent throws.
pub fn pull_secret_name(username: &str, address: &str, agent: Agent) -> Option<String> {
    let server = address.to_lowercase();
    let server = server.strip_prefix("https://").or(server.strip_prefix("http://")).unwrap_or(&server);
    let host = server.split('/').next().unwrap_or(server).replace(':', "-");
    let name = format!("{}-{host}", username.to_lowercase());
    if agent >= Agent::beta(13) { dns_domain(&name) } else { Some(name) }
}

/// The image pull secret `name`, of type `kubernetes.io/dockerconfigjson`.
pub fn pull_secret(
    credential: &RegistryCredential<'_>,
    name: &str,
    labels: &Labels,
    settings: &AgentSettings,
) -> Secret {
    let data = docker_config(&credential.username, &credential.password, &credential.address);
    Secret {
        metadata: metadata(name, labels, None, settings),
        type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
        data: Some([(".dockerconfigjson".to_owned(), ByteString(data.into_bytes()))].into()),
        ..Default::default()
    }
}

/// What Docker's own configuration file would have.
pub(crate) fn docker_config(username: &str, password: &str, address: &str) -> String {
    let auth = BASE64_STANDARD.encode(format!("{username}:{password}"));
    json!({ "auths": { address: { "username": username, "password": password, "auth": auth } } }).to_string()
}
