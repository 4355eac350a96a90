//! A server of gRPC on a unix socket, as kubelets and their device plugins are.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::Path;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

/// A message without content.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Nothing {}

/// A method that answers once.
pub(crate) struct Unary<F>(pub(crate) F);

impl<Q, A, F: FnMut(Q) -> Result<A, Status>> UnaryService<Q> for Unary<F> {
    type Response = A;
    type Future = Ready<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        ready((self.0)(request.into_inner()).map(Response::new))
    }
}

/// Serves HTTP/2 without TLS on a new socket until it is aborted.
pub(crate) fn serve<F, A>(socket: &Path, answer: F) -> JoinHandle<()>
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
