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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube_model::objects::translate;
    use crate::text::Source;

    /// A deployment with the credentials of one registry and modules of these images.
    fn deployment(images: &[&str]) -> Manifest {
        let modules: serde_json::Map<_, _> = images
            .iter()
            .enumerate()
            .map(|(i, image)| (format!("m{i}"), json!({ "settings": { "image": image } })))
            .collect();
        let credentials = json!({ "r": { "Username": "User_1", "password": "pass", "address": "Plant.azurecr.io" } });
        let text = json!({ "modulesContent": { "$edgeAgent": { "properties.desired": {
            "runtime": { "settings": { "registryCredentials": credentials } }, "modules": modules } } } });
        Manifest::read(&Source::new("t", text.to_string())).unwrap()
    }

    #[test]
    fn names_of_secrets_are_made_of_user_and_host() {
        for (user, address, name) in [
            ("User", "https://My.Azurecr.io:443/v1", Some("user-my.azurecr.io-443")),
            ("user", "http://docker.io", Some("user-docker.io")),
            ("9 a_b", "x.io", Some("ab-x.io")),
            // Each segment needs a letter.
            ("user", "127.0.0.1:5000", None),
            ("user", "x..io", None),
        ] {
            assert_eq!(pull_secret_name(user, address, Agent::beta(13)).as_deref(), name, "{user} {address}");
        }
        // Before that the name was taken as it came.
        let raw = pull_secret_name("User", "HTTPS://127.0.0.1:5000/V1", Agent::beta(12));
        assert_eq!(raw.as_deref(), Some("user-127.0.0.1-5000"));
    }

    #[test]
    fn credentials_are_for_the_images_of_their_registry() {
        let manifest = deployment(&[]);
        let mut credential = RegistryCredential::of(&manifest).remove(0);
        assert!(credential.is_for("plant.AZURECR.io/a/b:1") && !credential.is_for("plant.azurecr.io"));
        assert!(!credential.is_for("other.azurecr.io/a") && !credential.is_for("plant/a"));
        "https://index.docker.io/v1/".clone_into(&mut credential.address);
        assert!(credential.is_for("library/nginx:1") && !credential.is_for("nginx:1"));
        "localhost:5000".clone_into(&mut credential.address);
        assert!(credential.is_for("localhost:5000/a") && !credential.is_for("localhost/a"));
        assert!(!format!("{credential:?}").contains("pass"));
    }

    #[test]
    fn all_modules_of_a_registry_share_one_secret() {
        let images = ["plant.azurecr.io/a:1", "nginx:1", "Plant.azurecr.io/b:1"];
        let made = translate(&deployment(&images), &AgentSettings::default());
        assert_eq!(made.pull_secrets.len(), 1);
        let secret = &made.pull_secrets[0];
        assert_eq!(secret.metadata.name.as_deref(), Some("user1-plant.azurecr.io"));
        assert_eq!(
            secret.metadata.labels.as_ref().unwrap().keys().collect::<Vec<_>>(),
            ["net.azure-devices.edge.deviceid"]
        );
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
        let data = secret.data.as_ref().unwrap();
        let config =
            r#"{"auths":{"Plant.azurecr.io":{"username":"User_1","password":"pass","auth":"VXNlcl8xOnBhc3M="}}}"#;
        assert_eq!(String::from_utf8_lossy(&data[".dockerconfigjson"].0), config);
        let asked = made.modules.iter().map(|module| {
            let spec = module.deployment.as_ref().unwrap().spec.as_ref().unwrap();
            let secrets = spec.template.spec.as_ref().unwrap().image_pull_secrets.iter().flatten();
            secrets.map(|secret| secret.name.as_str()).collect::<Vec<_>>()
        });
        let own = vec!["user1-plant.azurecr.io"];
        assert_eq!(asked.collect::<Vec<_>>(), [own.clone(), Vec::new(), own]);
    }
}
