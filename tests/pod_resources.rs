//! The kubelet's list of devices, from kubelets of several ages, and from what is none.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use edgeshift::evidence::{Grant, Grants};
use edgeshift::sources::{PodResources, Sight, Source};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

/// A message without content.
#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// A method that answers once.
struct Unary<F>(F);

impl<Q, A, F: FnMut(Q) -> Result<A, Status>> UnaryService<Q> for Unary<F> {
    type Response = A;
    type Future = Ready<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ready((self.0)(request.into_inner()).map(Response::new))
    }
}

/// The pods of a kubelet, with what it gave to their containers.
#[derive(Clone, PartialEq, Message)]
struct Pods {
    #[prost(message, repeated, tag = "1")]
    pods: Vec<Pod>,
}

#[derive(Clone, PartialEq, Message)]
struct Pod {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
    /// Of no interest to who reads devices.
    #[prost(int64, repeated, tag = "3")]
    cpus: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerDevices {
    #[prost(string, tag = "1")]
    resource: String,
    #[prost(string, repeated, tag = "2")]
    ids: Vec<String>,
}

/// What a kubelet has to give away.
#[derive(Clone, PartialEq, Message)]
struct Allocatable {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<ContainerDevices>,
}

/// The kubelet's list of pods on a socket, as far as a version of the interface goes.
struct FakeKubelet(JoinHandle<()>);

impl FakeKubelet {
    /// Answers `pods` on `kubelet.sock` in `folder` to who asks in one of `versions`, and, where it can, what there is to give.
    fn start(folder: &Path, versions: &'static [&'static str], pods: Pods, allocatable: Option<Allocatable>) -> Self {
        let answer = move |request: hyper::Request<Incoming>| {
            let (pods, allocatable) = (pods.clone(), allocatable.clone());
            async move {
                let path = request.uri().path().to_owned();
                let unknown = || Status::new(Code::Unimplemented, "unknown service");
                if path == "/v1.PodResourcesLister/GetAllocatableResources" {
                    let give = move |_: Nothing| allocatable.clone().ok_or_else(unknown);
                    return Grpc::new(ProstCodec::default()).unary(Unary(give), request).await;
                }
                let known = versions.iter().any(|version| path == format!("/{version}.PodResourcesLister/List"));
                let list = move |_: Nothing| if known { Ok(pods.clone()) } else { Err(unknown()) };
                Grpc::new(ProstCodec::default()).unary(Unary(list), request).await
            }
        };
        Self(serve(&folder.join("kubelet.sock"), answer))
    }
}

impl Drop for FakeKubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves HTTP/2 without TLS on a new socket until it is aborted.
fn serve<F, A>(socket: &Path, answer: F) -> JoinHandle<()>
where
    F: Fn(hyper::Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = hyper::Response<Body>> + Send + 'static,
{
    std::fs::remove_file(socket).ok();
    let listener = UnixListener::bind(socket).unwrap();
    let (open, closed) = watch::channel(());
    tokio::spawn(async move {
        // Connections end with their server.
        let _open = open;
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, mut closed) = (answer.clone(), closed.clone());
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let connection =
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    _ = closed.changed() => {}
                }
            });
        }
    })
}

/// A folder of its own for a socket.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("edgeshift-kubelet-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn devices(resource: &str, ids: &[&str]) -> ContainerDevices {
    ContainerDevices { resource: resource.to_owned(), ids: ids.iter().map(|id| (*id).to_owned()).collect() }
}

fn pod(name: &str, containers: &[(&str, &[ContainerDevices])]) -> Pod {
    let container = |(name, devices): &(&str, &[ContainerDevices])| Container {
        name: (*name).to_owned(),
        devices: devices.to_vec(),
        cpus: vec![0, 1],
    };
    Pod {
        name: name.to_owned(),
        namespace: "iotedge".to_owned(),
        containers: containers.iter().map(container).collect(),
    }
}

/// Modules with and without a GPU, one of them twice, beside pods that are none.
fn pods() -> Pods {
    let long = "a".repeat(63);
    Pods {
        pods: vec![
            pod(
                "detector-7d4b9c6f5-x2x8l",
                &[
                    ("proxy", &[]),
                    (
                        "detector",
                        &[
                            devices("nvidia.com/gpu", &["GPU-2"]),
                            devices("nvidia.com/gpu", &["GPU-1"]),
                            devices("smarter-devices/video0", &["video0"]),
                        ],
                    ),
                ],
            ),
            pod(
                "detector-5c9d8b7f4-abcde",
                &[("proxy", &[]), ("detector", &[devices("nvidia.com/gpu", &["GPU-3::1"])])],
            ),
            pod("scorer-5f6d7c8b9-zzzzz", &[("proxy", &[]), ("scorer", &[])]),
            pod(
                &format!("{}-x2x8l", "a".repeat(57)),
                &[("proxy", &[]), (&long, &[devices("nvidia.com/mig-1g.10gb", &["MIG-1"])])],
            ),
            pod("web-6d4b9c6f5-qqqqq", &[("web", &[devices("nvidia.com/gpu", &["GPU-9"])])]),
            pod("other-6d4b9c6f5-rrrrr", &[("proxy", &[]), ("web", &[devices("nvidia.com/gpu", &["GPU-8"])])]),
        ],
    }
}

fn granted(resource: &str, ids: &[&str]) -> Grant {
    Grant { resource: resource.to_owned(), devices: ids.iter().map(|id| (*id).to_owned()).collect() }
}

fn expected(allocatable: Option<Vec<Grant>>) -> Grants {
    let modules = [
        ("detector".to_owned(), vec![granted("nvidia.com/gpu", &["GPU-1", "GPU-2", "GPU-3::1"])]),
        ("scorer".to_owned(), Vec::new()),
        ("a".repeat(63), vec![granted("nvidia.com/mig-1g.10gb", &["MIG-1"])]),
    ];
    Grants { modules: modules.into(), allocatable }
}

async fn look(folder: &Folder) -> Result<Grants, String> {
    match PodResources::new(&folder.0).look().await? {
        Some(Sight::Grants(grants)) => Ok(*grants),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_interface_of_the_kubelet_names_who_holds_a_gpu() {
    let folder = Folder::new();
    let all =
        Allocatable { devices: vec![devices("nvidia.com/gpu", &["GPU-1", "GPU-2"]), devices("example.com/x", &["x"])] };
    {
        let _kubelet = FakeKubelet::start(&folder.0, &["v1", "v1alpha1"], pods(), Some(all));
        assert_eq!(look(&folder).await, Ok(expected(Some(vec![granted("nvidia.com/gpu", &["GPU-1", "GPU-2"])]))));
    }
    // The kubelet starts anew, with the interfaces of 1.20, then of older ones; the folder stays.
    for versions in [&["v1", "v1alpha1"][..], &["v1alpha1"]] {
        let _kubelet = FakeKubelet::start(&folder.0, versions, pods(), None);
        assert_eq!(look(&folder).await, Ok(expected(None)), "{versions:?}");
    }
}

#[tokio::test]
async fn what_is_no_kubelet_says_why() {
    let folder = Folder::new();
    let socket = folder.0.join("kubelet.sock").display().to_string();
    let none = look(&folder).await.unwrap_err();
    assert_eq!(none, format!("cannot reach the kubelet at {socket}: No such file or directory (os error 2)"));
    {
        let _kubelet = FakeKubelet::start(&folder.0, &["v2"], pods(), None);
        let other = look(&folder).await.unwrap_err();
        assert_eq!(other, "the kubelet does not list its pods: unknown service (Unimplemented)");
    }
    std::fs::remove_file(&socket).unwrap();
    // Somebody who hangs up at once.
    let listener = UnixListener::bind(&socket).unwrap();
    let rude = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let hung_up = look(&folder).await.unwrap_err();
    rude.abort();
    assert!(hung_up.contains("kubelet"), "{hung_up}");
}
