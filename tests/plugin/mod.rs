//! A device plugin of the kubelet that offers devices which are but names. Its messages are those of Kubernetes'
//! `deviceplugin/v1beta1/api.proto`, field by field.

use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::stream::{self, BoxStream, StreamExt};
use hyper::body::Incoming;
use prost::Message;
use tokio::task::JoinHandle;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::grpc::{Nothing, Unary, serve};

/// A device that the plugin offers.
#[derive(Clone, PartialEq, Message)]
struct Device {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    health: String,
}

#[derive(Clone, PartialEq, Message)]
struct Devices {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<Device>,
}

#[derive(Clone, PartialEq, Message)]
struct PluginOptions {
    #[prost(bool, tag = "1")]
    pre_start_required: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Registration {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(string, tag = "2")]
    endpoint: String,
    #[prost(string, tag = "3")]
    resource_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Allocate {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<AllocateContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct AllocateContainer {
    #[prost(string, repeated, tag = "1")]
    devices: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Allocated {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<AllocatedContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct AllocatedContainer {
    #[prost(map = "string, string", tag = "1")]
    variables: std::collections::HashMap<String, String>,
}

/// A device plugin that offers devices, which are but names.
pub(crate) struct DevicePlugin {
    server: JoinHandle<()>,
    socket: PathBuf,
    /// What a kubelet has asked it to give.
    pub(crate) allocated: Arc<Mutex<Vec<String>>>,
}

impl DevicePlugin {
    /// Offers `devices` as `resource` to the kubelet whose plugins are in `folder`.
    pub(crate) async fn offer(folder: &Path, resource: &str, devices: &[&str]) -> Self {
        let endpoint = format!("edgeshift-test-{}.sock", std::process::id());
        let socket = folder.join(&endpoint);
        let device = |id: &&str| Device { id: (*id).to_owned(), health: "Healthy".to_owned() };
        let devices = Devices { devices: devices.iter().map(device).collect() };
        let allocated = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&allocated);
        let answer = move |request: hyper::Request<Incoming>| {
            let (devices, log) = (devices.clone(), Arc::clone(&log));
            async move {
                match request.uri().path() {
                    "/v1beta1.DevicePlugin/GetDevicePluginOptions" => {
                        let options = |_: Nothing| Ok(PluginOptions { pre_start_required: false });
                        Grpc::new(ProstCodec::default()).unary(Unary(options), request).await
                    }
                    "/v1beta1.DevicePlugin/ListAndWatch" => {
                        Grpc::new(ProstCodec::default()).server_streaming(Lasting(devices), request).await
                    }
                    "/v1beta1.DevicePlugin/Allocate" => {
                        let allocate = move |asked: Allocate| {
                            let containers = asked.containers.into_iter().map(|container| {
                                let visible = ("NVIDIA_VISIBLE_DEVICES".to_owned(), container.devices.join(","));
                                log.lock().unwrap().extend(container.devices);
                                AllocatedContainer { variables: [visible].into() }
                            });
                            Ok(Allocated { containers: containers.collect() })
                        };
                        Grpc::new(ProstCodec::default()).unary(Unary(allocate), request).await
                    }
                    _ => {
                        let none = |_: Nothing| Err::<Nothing, _>(Status::new(Code::Unimplemented, "not needed"));
                        Grpc::new(ProstCodec::default()).unary(Unary(none), request).await
                    }
                }
            }
        };
        let plugin = Self { server: serve(&socket, answer), socket, allocated };
        let channel = tonic::transport::Endpoint::from_shared(format!("unix://{}/kubelet.sock", folder.display()));
        let channel = channel.unwrap().connect().await.expect("the kubelet takes device plugins");
        let mut kubelet = tonic::client::Grpc::new(channel);
        kubelet.ready().await.unwrap();
        let (version, resource_name) = ("v1beta1".to_owned(), resource.to_owned());
        let registration = Registration { version, endpoint, resource_name };
        let path = hyper::http::uri::PathAndQuery::from_static("/v1beta1.Registration/Register");
        let codec = ProstCodec::<Registration, Nothing>::default();
        kubelet.unary(Request::new(registration), path, codec).await.expect("the kubelet takes this plugin");
        plugin
    }
}

impl Drop for DevicePlugin {
    fn drop(&mut self) {
        self.server.abort();
        std::fs::remove_file(&self.socket).ok();
    }
}

/// A method that answers once and keeps the stream open.
struct Lasting(Devices);

impl ServerStreamingService<Nothing> for Lasting {
    type Response = Devices;
    type ResponseStream = BoxStream<'static, Result<Devices, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<Nothing>) -> Self::Future {
        let first = stream::once(ready(Ok(self.0.clone())));
        ready(Ok(Response::new(first.chain(stream::pending()).boxed())))
    }
}
