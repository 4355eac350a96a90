//! A whole IoT Edge device on sockets of this machine: workload API, edgeHub, IoT Hub, and how to connect to them.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Device;
use super::certificates::{CertificateError, Certificates};
use super::edge_hub::{Behaviour, Call, CallError, EdgeHub, Names, Route};
use super::iot_hub::{Arrival, IotHub};
use super::listen::{encrypted, http, listen};
use super::service::{self, Service};
use super::token::Key;
use super::workload::Workload;
use crate::hub::method::Response;

/// The `api-version` of the workload API that modules are told (`iotedge-protocol.md` §A1).
const API_VERSION: &str = "2022-08-03";

/// How long [`EmbeddedDevice::invoke`] waits for the module, and for its answer.
const INVOKE: Duration = Duration::from_secs(10);

/// What the device is to be.
#[derive(Debug)]
pub struct EmbeddedConfig {
    /// Its id.
    pub device: String,
    /// The host name of its IoT Hub, which nobody dials.
    pub iot_hub: String,
    /// The host name of edgeHub: what modules dial and what its certificate is for.
    pub gateway: String,
    /// Its modules with their desired properties.
    pub modules: BTreeMap<String, Value>,
    /// The keys of modules that are to have these; the others get new ones.
    pub keys: BTreeMap<String, Key>,
    /// Where messages go; what no route takes is dropped.
    pub routes: Vec<Route>,
    /// How edgeHub behaves.
    pub behaviour: Behaviour,
    /// What the workload API lists as modules; nothing, as on Kubernetes.
    pub listed: Option<Device>,
    /// Where to put sockets and the CA's certificate. A short path: sockets have at most 107 bytes.
    pub folder: PathBuf,
    /// Where to listen.
    pub address: IpAddr,
    /// The port of MQTT; 0 is any that is free.
    pub mqtt_port: u16,
    /// The port of HTTPS and MQTT over WebSocket; 0 is any that is free.
    pub https_port: u16,
    /// Whether modules get the workload API as `http://…` in place of a unix socket.
    pub workload_over_http: bool,
}

/// A device that runs until it is dropped.
#[derive(Debug)]
pub struct EmbeddedDevice {
    names: Names,
    keys: BTreeMap<String, Key>,
    service_key: Key,
    workload_uris: BTreeMap<String, String>,
    ca_file: PathBuf,
    mqtt_port: u16,
    https_port: u16,
    cloud: Arc<IotHub>,
    edge_hub: Arc<EdgeHub>,
    /// Aborted with the device.
    _tasks: JoinSet<()>,
}

/// Why a device cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or forbidden.
    #[error("cannot listen on {address} port {port}: {error}; choose another port, or 0 for any that is free")]
    Port {
        /// Where.
        address: IpAddr,
        /// Which.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// A file or a socket cannot be made.
    #[error("cannot make {}: {error}; name a folder that can be written, with a short path", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There are no certificates.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// There are no keys.
    #[error("cannot make keys: the system has no random numbers")]
    Random,
}

impl EmbeddedConfig {
    /// A device `edge` on `localhost` with these modules, any free ports, and all messages led to IoT Hub.
    pub fn new(folder: impl Into<PathBuf>, modules: BTreeMap<String, Value>) -> Self {
        Self {
            device: "edge".to_owned(),
            iot_hub: "embedded.azure-devices.net".to_owned(),
            gateway: "localhost".to_owned(),
            modules,
            keys: BTreeMap::new(),
            routes: vec![Route::everything_upstream()],
            behaviour: Behaviour::default(),
            listed: None,
            folder: folder.into(),
            address: Ipv4Addr::LOCALHOST.into(),
            mqtt_port: 0,
            https_port: 0,
            workload_over_http: false,
        }
    }
}

impl EmbeddedDevice {
    /// Starts a device with new keys and certificates; and what will arrive at its IoT Hub.
    pub async fn start(config: EmbeddedConfig) -> Result<(Self, mpsc::UnboundedReceiver<Arrival>), StartError> {
        let names = Names { device: config.device, iot_hub: config.iot_hub, gateway: config.gateway };
        let key = || Key::generate().map_err(|_| StartError::Random);
        let mut keys = config.keys;
        for id in config.modules.keys().filter(|id| !keys.contains_key(*id)).cloned().collect::<Vec<_>>() {
            keys.insert(id, key()?);
        }
        let certificates = Certificates::make(&names.gateway)?;
        let ca_file = config.folder.join("ca.pem");
        write(&ca_file, &certificates.authority)?;

        let (cloud, changes, arrivals) = IotHub::new(config.modules);
        let cloud = Arc::new(cloud);
        let edge_hub = EdgeHub::new(names.clone(), config.behaviour, config.routes, keys.clone(), Arc::clone(&cloud));
        let edge_hub = Arc::new(edge_hub);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&edge_hub).run(changes));

        let (mqtt, mqtt_port) = bind(config.address, config.mqtt_port).await?;
        let (https, https_port) = bind(config.address, config.https_port).await?;
        let acceptor = TlsAcceptor::from(Arc::new(certificates.server));
        tasks.spawn({
            let (acceptor, edge_hub) = (acceptor.clone(), Arc::clone(&edge_hub));
            listen(mqtt, move |stream| {
                let (accepted, edge_hub) = (encrypted(acceptor.clone(), stream), Arc::clone(&edge_hub));
                async move {
                    if let Some(stream) = accepted.await {
                        edge_hub.serve(stream).await;
                    }
                }
            })
        });
        let (websockets, upgraded) = mpsc::unbounded_channel();
        tasks.spawn(serve_websockets(Arc::clone(&edge_hub), upgraded));
        let service_key = key()?;
        let service = Service {
            device: names.device.clone(),
            hosts: vec![names.iot_hub.clone(), names.gateway.clone(), format!("{}:{https_port}", names.gateway)],
            key: service_key.clone(),
            cloud: Arc::clone(&cloud),
            edge_hub: Arc::clone(&edge_hub),
            websockets,
        };
        let router = service.router();
        tasks.spawn(listen(https, move |stream| {
            let (accepted, router) = (encrypted(acceptor.clone(), stream), router.clone());
            async move {
                if let Some(stream) = accepted.await {
                    http(stream, router).await;
                }
            }
        }));

        let trust_bundle: Arc<str> = certificates.authority.into();
        let mut workload_uris = BTreeMap::new();
        for (id, key) in &keys {
            let (module, key, trust_bundle) = (id.clone(), key.clone(), Arc::clone(&trust_bundle));
            let router = Workload { module, key, trust_bundle, listed: config.listed.clone() }.router();
            let uri = if config.workload_over_http {
                let (listener, port) = bind(config.address, 0).await?;
                tasks.spawn(listen(listener, move |stream| http(stream, router.clone())));
                format!("http://{}", std::net::SocketAddr::new(config.address, port))
            } else {
                let path = config.folder.join(format!("{id}.sock"));
                let listener = socket(&path)?;
                tasks.spawn(listen(listener, move |stream| http(stream, router.clone())));
                format!("unix://{}", path.display())
            };
            workload_uris.insert(id.clone(), uri);
        }
        let device = Self {
            names,
            keys,
            service_key,
            workload_uris,
            ca_file,
            mqtt_port,
            https_port,
            cloud,
            edge_hub,
            _tasks: tasks,
        };
        Ok((device, arrivals))
    }

    /// The environment that edgeAgent gives a module (`iotedge-protocol.md` §A1); `None` for a module that it has not.
    pub fn environment(&self, module: &str) -> Option<BTreeMap<&'static str, String>> {
        Some(BTreeMap::from([
            ("IOTEDGE_WORKLOADURI", self.workload_uris.get(module)?.clone()),
            ("IOTEDGE_MODULEID", module.to_owned()),
            ("IOTEDGE_MODULEGENERATIONID", "1".to_owned()),
            ("IOTEDGE_DEVICEID", self.names.device.clone()),
            ("IOTEDGE_IOTHUBHOSTNAME", self.names.iot_hub.clone()),
            ("IOTEDGE_GATEWAYHOSTNAME", self.names.gateway.clone()),
            ("IOTEDGE_APIVERSION", API_VERSION.to_owned()),
            ("IOTEDGE_AUTHSCHEME", "sasToken".to_owned()),
        ]))
    }

    /// `EdgeHubConnectionString` for a module, with its key; to be used with [`EmbeddedDevice::ca_file`].
    pub fn connection_string(&self, module: &str) -> Option<String> {
        let (Names { device, iot_hub, gateway }, key) = (&self.names, self.keys.get(module)?.to_base64());
        Some(format!(
            "HostName={iot_hub};GatewayHostName={gateway};DeviceId={device};ModuleId={module};SharedAccessKey={key}"
        ))
    }

    /// Invokes a direct method as IoT Hub does, and waits for the answer: 404 where the module is not there, 504 where it
    /// does not answer.
    pub async fn invoke(&self, module: &str, name: &str, payload: Value) -> Response {
        let call = Call { name: name.to_owned(), payload, response: INVOKE, connect: INVOKE };
        match self.edge_hub.call_from_cloud(module, call).await {
            Ok(answered) => {
                Response { status: u16::try_from(answered.status).unwrap_or_default(), payload: answered.payload }
            }
            Err(error @ CallError::NotConnected) => Response::error(404, error.to_string()),
            Err(error @ CallError::TimedOut) => Response::error(504, error.to_string()),
        }
    }

    /// The connection string of a service, with its key. Its host is where IoT Hub listens here.
    pub fn service_connection_string(&self) -> String {
        let host = match self.https_port {
            443 => self.names.gateway.clone(),
            port => format!("{}:{port}", self.names.gateway),
        };
        let (policy, key) = (service::POLICY, self.service_key.to_base64());
        format!("HostName={host};SharedAccessKeyName={policy};SharedAccessKey={key}")
    }

    /// The certificate of the CA as PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Where edgeHub speaks MQTT over TLS.
    pub fn mqtt_port(&self) -> u16 {
        self.mqtt_port
    }

    /// Where edgeHub speaks MQTT over WebSocket and takes direct methods, and where IoT Hub's service endpoints are.
    pub fn https_port(&self) -> u16 {
        self.https_port
    }

    /// The cloud's side.
    pub fn iot_hub(&self) -> &IotHub {
        &self.cloud
    }

    /// The device's side.
    pub fn edge_hub(&self) -> &EdgeHub {
        &self.edge_hub
    }
}

impl Drop for EmbeddedDevice {
    fn drop(&mut self) {
        for uri in self.workload_uris.values() {
            if let Some(path) = uri.strip_prefix("unix://") {
                // What is gone already is as good.
                let _ = fs::remove_file(path);
            }
        }
    }
}

async fn serve_websockets(edge_hub: Arc<EdgeHub>, mut upgraded: mpsc::UnboundedReceiver<tokio::io::DuplexStream>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = upgraded.recv() => match stream {
                Some(stream) => {
                    let edge_hub = Arc::clone(&edge_hub);
                    connections.spawn(async move { edge_hub.serve(stream).await });
                }
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn bind(address: IpAddr, port: u16) -> Result<(TcpListener, u16), StartError> {
    let failed = |error| StartError::Port { address, port, error };
    let listener = TcpListener::bind((address, port)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    Ok((listener, port))
}

/// A socket that every user may connect to, in place of one that is left over.
fn socket(path: &Path) -> Result<UnixListener, StartError> {
    let failed = |error| StartError::File { path: path.to_owned(), error };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o666)).map_err(failed)?;
    Ok(listener)
}

fn write(path: &Path, text: &str) -> Result<(), StartError> {
    let temporary = path.with_extension("pem.new");
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        File::create(&temporary)?.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)
    });
    written.map_err(|error| StartError::File { path: path.to_owned(), error })
}
