//! The kubelet's own list of which container holds which device (`gpu.md` §4.3), through the socket in its folder
//! `pod-resources`: read only, and only what has to do with GPUs. Needs that folder, mounted, and root. Modules that ask by
//! `NVIDIA_VISIBLE_DEVICES` hold nothing there: nobody allocates to them.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use hyper::http::uri::PathAndQuery;
use prost::{DecodeError, Message};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{Look, Question, Sight, Source};
use crate::evidence::{Grant, Grants};

/// The socket in the folder. It is made anew whenever the kubelet starts, so a mount of the file alone would go stale.
const SOCKET: &str = "kubelet.sock";
/// The lists, the newest interface first; Kubernetes 1.20 has both, older ones the second.
const LISTS: [&str; 2] = ["/v1.PodResourcesLister/List", "/v1alpha1.PodResourcesLister/List"];
/// What there is to give away; Kubernetes 1.21 brought it.
const ALLOCATABLE: &str = "/v1.PodResourcesLister/GetAllocatableResources";
/// The longest answer, bytes: a node has some hundred pods, each with a few devices.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The vendor whose resources are GPUs.
const VENDOR: &str = "nvidia.com/";
/// The container that IoT Edge puts beside each module (`k8s-translation.md` §6), and by which its pods are told.
const PROXY: &str = "proxy";
/// How many characters of a Deployment's name are at the start of its pods' names, however long it is.
const NAME_KEPT: usize = 40;

/// The kubelet of this node.
pub struct PodResources {
    folder: PathBuf,
}

/// An empty request.
#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct Pods {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<Pod>,
}

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<Devices>,
}

#[derive(Clone, PartialEq, Message)]
struct Devices {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Allocatable {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<Devices>,
}

impl PodResources {
    /// The kubelet whose folder `pod-resources` is mounted at `folder`. Nothing is connected yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    async fn grants(&self) -> Result<Grants, String> {
        let socket = self.socket();
        let failed = |error: tonic::transport::Error| {
            format!("cannot reach the kubelet at {}: {}", socket.display(), innermost(&error))
        };
        // A connection for each look: the kubelet may have started anew since.
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(failed)?;
        let channel = endpoint.connect().await.map_err(failed)?;
        let mut answer = Err(Status::new(Code::Unimplemented, "no list of pods"));
        for list in LISTS {
            answer = ask::<Pods>(&channel, list).await;
            if !answer.as_ref().is_err_and(|status| status.code() == Code::Unimplemented) {
                break;
            }
        }
        let pods = answer.map_err(|status| format!("the kubelet does not list its pods: {}", reason(&status)))?;
        // Not before 1.21, and not where it is switched off.
        let allocatable = ask::<Allocatable>(&channel, ALLOCATABLE).await.ok();
        Ok(read(pods, allocatable))
    }

    /// What a kubelet says with these messages: of `List`, and of `GetAllocatableResources`, if it answers that.
    ///
    /// # Errors
    /// One of them is no such message.
    pub fn read(list: &[u8], allocatable: Option<&[u8]>) -> Result<Grants, DecodeError> {
        Ok(read(Pods::decode(list)?, allocatable.map(Allocatable::decode).transpose()?))
    }
}

impl Source for PodResources {
    fn name(&self) -> &'static str {
        "pod-resources"
    }

    fn question(&self) -> Question {
        Question::Grants
    }

    fn look(&self) -> Look<'_> {
        Box::pin(async { self.grants().await.map(|grants| Some(Sight::Grants(Box::new(grants)))) })
    }
}

/// Asks one thing.
async fn ask<A: Message + Default + 'static>(channel: &Channel, method: &'static str) -> Result<A, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(MAX_ANSWER);
    grpc.ready().await.map_err(|error| Status::unavailable(innermost(&error)))?;
    let codec = ProstCodec::<Nothing, A>::default();
    grpc.unary(Request::new(Nothing {}), PathAndQuery::from_static(method), codec)
        .await
        .map(tonic::Response::into_inner)
}

fn read(pods: Pods, allocatable: Option<Allocatable>) -> Grants {
    let modules = pods.pods.into_iter().filter_map(module);
    Grants { modules: joined(modules), allocatable: allocatable.map(|answer| grants(answer.devices)) }
}

/// What the container of a module holds, if the pod is a module's: it has the proxy and one container more, after whose name
/// the pod is called.
fn module(pod: Pod) -> Option<(String, Vec<Grant>)> {
    let (proxies, mut others): (Vec<_>, Vec<_>) =
        pod.containers.into_iter().partition(|container| container.name == PROXY);
    let container = others.pop().filter(|_| others.is_empty() && proxies.len() == 1)?;
    let head: String = container.name.chars().take(NAME_KEPT).collect();
    pod.name.starts_with(&head).then(|| (container.name, grants(container.devices)))
}

/// The pods of each module together: while one takes the place of another there are two.
fn joined(pods: impl Iterator<Item = (String, Vec<Grant>)>) -> BTreeMap<String, Vec<Grant>> {
    let mut modules: BTreeMap<String, Vec<Grant>> = BTreeMap::new();
    for (name, grants) in pods {
        let held = modules.entry(name).or_default();
        for grant in grants {
            match held.iter_mut().find(|there| there.resource == grant.resource) {
                Some(there) => there.devices.extend(grant.devices),
                None => held.push(grant),
            }
        }
    }
    modules
}

/// The GPUs among `devices`, each resource once: the kubelet has a line for each node of memory.
fn grants(devices: Vec<Devices>) -> Vec<Grant> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Devices { resource, ids } in devices.into_iter().filter(|devices| devices.resource.starts_with(VENDOR)) {
        all.entry(resource).or_default().extend(ids);
    }
    all.into_iter()
        .map(|(resource, mut devices)| {
            devices.sort();
            Grant { resource, devices }
        })
        .collect()
}

/// What is behind the transport's own words.
fn innermost(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The kubelet's words, on one line, cut where they are long.
fn reason(status: &Status) -> String {
    let text = format!("{} ({:?})", status.message(), status.code());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
