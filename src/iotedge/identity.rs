//! Who the module is, from the variables that IoT Edge or a developer sets (`iotedge-protocol.md` §A1). The variables are
//! handed in; nothing here asks the environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::credentials::{CaFile, Credentials};
use super::sas::{Key, Resource, encode};
use super::workload::Workload;

/// Set by tools for development, in this order of precedence: an explicit act of a developer wins.
const CONNECTION_STRINGS: [&str; 2] = ["EdgeHubConnectionString", "IotHubConnectionString"];
const CA_FILE: &str = "EdgeModuleCACertificateFile";

/// What every version of the workload API speaks (§A2).
const OLDEST_API: &str = "2018-06-28";

/// The version of IoT Hub's protocol that a client names; edgeHub ignores it but wants one (§B1).
const HUB_API: &str = "2021-04-12";

/// Who the module is and where its edgeHub listens.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The module's place in its IoT Hub.
    pub resource: Resource,
    /// The host name of the edge device: what is dialled, and the name that its certificate must have.
    pub gateway: String,
    /// How the module proves who it is.
    pub proof: Proof,
}

/// How a module proves who it is.
#[derive(Debug, Clone)]
pub enum Proof {
    /// IoT Edge's workload API signs, and says whom to trust.
    Workload(Arc<Workload>),
    /// A key of a connection string signs, and a file says whom to trust.
    Key(Key, CaFile),
}

/// Why the variables make no identity. No values are in here: they can be secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// Nothing is there at all.
    #[error(
        "the variables of IoT Edge are not set: run the module in a deployment, or set EdgeHubConnectionString and \
         EdgeModuleCACertificateFile"
    )]
    Nothing,
    /// One is missing.
    #[error("{variable} is not set: {way_out}")]
    Missing {
        /// Which one.
        variable: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// One is of no use.
    #[error("{variable} {fault}")]
    Malformed {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it, and what to do.
        fault: String,
    },
}

impl Identity {
    /// Reads the variables. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// The first variable that is missing or of no use, by name.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, IdentityError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        for name in CONNECTION_STRINGS {
            if let Some(text) = variable(name) {
                return Self::from_connection_string(name, &text, variable(CA_FILE));
            }
        }
        if variable("IOTEDGE_WORKLOADURI").is_none() && variable("IOTEDGE_MODULEID").is_none() {
            return Err(IdentityError::Nothing);
        }
        Self::from_iot_edge(variable)
    }

    /// The MQTT client id (§B1).
    pub fn client_id(&self) -> String {
        format!("{}/{}", self.resource.device, self.resource.module)
    }

    /// The MQTT user name (§B1).
    pub fn user_name(&self) -> String {
        let Resource { hub, device, module } = &self.resource;
        let client = encode(concat!("edgeshift/", env!("CARGO_PKG_VERSION")));
        format!("{hub}/{device}/{module}/?api-version={HUB_API}&DeviceClientType={client}")
    }

    /// What signs and says whom to trust.
    pub fn credentials(&self) -> Arc<dyn Credentials> {
        match &self.proof {
            Proof::Workload(workload) => Arc::clone(workload) as Arc<dyn Credentials>,
            #[cfg(feature = "azure-sdk")]
            Proof::Key(key, trust) => Arc::new(super::sdk::SdkCredentials::new(key.clone(), trust.clone())),
            #[cfg(not(feature = "azure-sdk"))]
            Proof::Key(key, trust) => Arc::new(super::credentials::KeyCredentials::new(key.clone(), trust.clone())),
        }
    }

    fn from_connection_string(
        variable: &'static str,
        text: &str,
        ca_file: Option<String>,
    ) -> Result<Self, IdentityError> {
        // On the first `=` only: keys are base64 and end with some.
        let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        let mut pairs: BTreeMap<String, &str> =
            pairs.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim())).collect();
        let mut part = |name: &str| {
            let value = pairs.remove(&name.to_ascii_lowercase()).filter(|value| !value.is_empty());
            value.map(str::to_owned).ok_or_else(|| IdentityError::Malformed {
                variable,
                fault: format!(
                    "has no {name}: it reads HostName=…;GatewayHostName=…;DeviceId=…;ModuleId=…;SharedAccessKey=…"
                ),
            })
        };
        let (hub, device, module) = (part("HostName")?, part("DeviceId")?, part("ModuleId")?);
        let (gateway, key) = (part("GatewayHostName")?, part("SharedAccessKey")?);
        let malformed = |fault: &str| IdentityError::Malformed { variable, fault: fault.to_owned() };
        let key = Key::parse(&key).map_err(|_| malformed("has a SharedAccessKey that is not base64: copy it again"))?;
        plain(variable, "DeviceId", &device)?;
        plain(variable, "ModuleId", &module)?;
        let ca_file = ca_file.ok_or(IdentityError::Missing {
            variable: CA_FILE,
            way_out: "set it to the PEM file with the certificate authority of the edge device",
        })?;
        let proof = Proof::Key(key, CaFile::new(ca_file));
        Ok(Self { resource: Resource { hub, device, module }, gateway, proof })
    }

    fn from_iot_edge(variable: impl Fn(&str) -> Option<String>) -> Result<Self, IdentityError> {
        let required = |name: &'static str| {
            variable(name).ok_or(IdentityError::Missing {
                variable: name,
                way_out: "IoT Edge sets it for every module of a deployment; do not set it to another value there",
            })
        };
        if let Some(scheme) = variable("IOTEDGE_AUTHSCHEME")
            && !scheme.eq_ignore_ascii_case("sasToken")
        {
            let fault = "is not sasToken, the only scheme that is supported: use the runtime's own value".to_owned();
            return Err(IdentityError::Malformed { variable: "IOTEDGE_AUTHSCHEME", fault });
        }
        let (device, module) = (required("IOTEDGE_DEVICEID")?, required("IOTEDGE_MODULEID")?);
        plain("IOTEDGE_DEVICEID", "value", &device)?;
        plain("IOTEDGE_MODULEID", "value", &module)?;
        let hub = required("IOTEDGE_IOTHUBHOSTNAME")?;
        let gateway = required("IOTEDGE_GATEWAYHOSTNAME")?;
        let generation = required("IOTEDGE_MODULEGENERATIONID")?;
        let uri = required("IOTEDGE_WORKLOADURI")?;
        let api = variable("IOTEDGE_APIVERSION").unwrap_or_else(|| OLDEST_API.to_owned());
        let resource = Resource { hub, device, module };
        let workload = Workload::new(&uri, resource.clone(), generation, api)
            .map_err(|fault| IdentityError::Malformed { variable: "IOTEDGE_WORKLOADURI", fault })?;
        Ok(Self { resource, gateway, proof: Proof::Workload(Arc::new(workload)) })
    }
}

/// Ids stand in topics and paths as they are, so they hold nothing that would end or widen one.
fn plain(variable: &'static str, part: &str, id: &str) -> Result<(), IdentityError> {
    if id.contains(['/', '+', '#']) || id.contains(char::is_control) || id.contains(char::is_whitespace) {
        let fault =
            format!("has a {part} with `/`, `+`, `#` or a blank, which no MQTT topic can carry: use another id");
        return Err(IdentityError::Malformed { variable, fault });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "YSBrZXkgb2Ygbm9ib2R5LCBnb29kIGZvciBhIHRlc3Q=";

    fn edge() -> BTreeMap<&'static str, String> {
        [
            ("IOTEDGE_WORKLOADURI", "unix:///run/workload.sock"),
            ("IOTEDGE_MODULEID", "edgeshift"),
            ("IOTEDGE_MODULEGENERATIONID", "637"),
            ("IOTEDGE_DEVICEID", "edge01"),
            ("IOTEDGE_IOTHUBHOSTNAME", "h.azure-devices.net"),
            ("IOTEDGE_GATEWAYHOSTNAME", "gateway"),
            ("IOTEDGE_APIVERSION", "2022-08-03"),
            ("IOTEDGE_AUTHSCHEME", "SasToken"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    fn developer(rest: &str) -> BTreeMap<&'static str, String> {
        let text = format!("HostName=h.azure-devices.net;GatewayHostName=gw;DeviceId=d;ModuleId=m;{rest}");
        [("EdgeHubConnectionString", text), (CA_FILE, "/ca.pem".to_owned())].into()
    }

    fn identity(variables: &BTreeMap<&str, String>) -> Result<Identity, IdentityError> {
        Identity::from_variables(|name| variables.get(name).cloned())
    }

    #[test]
    fn iot_edge_says_who_we_are() {
        let identity = identity(&edge()).unwrap();
        assert_eq!(identity.client_id(), "edge01/edgeshift");
        let client = concat!("DeviceClientType=edgeshift%2F", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            identity.user_name(),
            format!("h.azure-devices.net/edge01/edgeshift/?api-version=2021-04-12&{client}")
        );
        assert_eq!(identity.gateway, "gateway");
        assert!(matches!(identity.proof, Proof::Workload(_)));
    }

    #[test]
    fn a_connection_string_wins_and_keeps_its_padding() {
        let mut variables = edge();
        variables.extend(developer(&format!("SharedAccessKey={KEY}")));
        let identity = identity(&variables).unwrap();
        assert_eq!(identity.client_id(), "d/m");
        let Proof::Key(key, _) = &identity.proof else { panic!("{identity:?}") };
        assert_eq!(key, &Key::parse(KEY).unwrap());
    }

    #[test]
    fn the_variable_for_development_comes_first() {
        let mut variables = developer(&format!("SharedAccessKey={KEY}"));
        variables.insert("IotHubConnectionString", "HostName=x".to_owned());
        assert!(identity(&variables).is_ok());
        variables.insert("EdgeHubConnectionString", String::new());
        assert!(identity(&variables).unwrap_err().to_string().starts_with("IotHubConnectionString has no DeviceId"));
    }

    #[test]
    fn what_is_missing_is_named_with_a_way_out() {
        assert_eq!(identity(&BTreeMap::new()).unwrap_err(), IdentityError::Nothing);
        for name in [
            "IOTEDGE_WORKLOADURI",
            "IOTEDGE_MODULEID",
            "IOTEDGE_MODULEGENERATIONID",
            "IOTEDGE_DEVICEID",
            "IOTEDGE_IOTHUBHOSTNAME",
            "IOTEDGE_GATEWAYHOSTNAME",
        ] {
            let mut variables = edge();
            variables.remove(name);
            let error = identity(&variables).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is not set: IoT Edge sets it")), "{error}");
        }
        let mut variables = edge();
        variables.remove("IOTEDGE_APIVERSION");
        variables.remove("IOTEDGE_AUTHSCHEME");
        assert!(identity(&variables).is_ok());
    }

    #[test]
    fn errors_name_the_variable_and_no_secret() {
        let mut variables = developer(&format!("SharedAccessKey={KEY}"));
        variables.remove(CA_FILE);
        let mut scheme = edge();
        scheme.insert("IOTEDGE_AUTHSCHEME", "x509".to_owned());
        let mut uri = edge();
        uri.insert("IOTEDGE_WORKLOADURI", "ftp://secret@host/".to_owned());
        let mut id = edge();
        id.insert("IOTEDGE_DEVICEID", "secret/#".to_owned());
        for (variables, start) in [
            (variables, "EdgeModuleCACertificateFile is not set: set it to the PEM file"),
            (developer("SharedAccessKey=secret"), "EdgeHubConnectionString has a SharedAccessKey that is not base64"),
            (developer("x509=secret"), "EdgeHubConnectionString has no SharedAccessKey: it reads HostName="),
            (scheme, "IOTEDGE_AUTHSCHEME is not sasToken"),
            (uri, "IOTEDGE_WORKLOADURI is neither unix:// nor http://"),
            (id, "IOTEDGE_DEVICEID has a value with `/`"),
        ] {
            let error = identity(&variables).unwrap_err();
            assert!(error.to_string().starts_with(start), "{error}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        let shown = format!("{:?}", identity(&developer(&format!("SharedAccessKey={KEY}"))).unwrap());
        assert!(!shown.contains("Rlc3Q="), "{shown}");
    }
}
