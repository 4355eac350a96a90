//! Evidence from sources that fail, hang or answer garbage: only their own part of the snapshot changes.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edgeshift::agent::{Clock, look_once};
use edgeshift::evidence::{Observed, Snapshot};
use edgeshift::sources::{Docker, OwnProcess, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// A socket on which something answers that is no Docker engine, removed at the end.
struct Impostor(PathBuf);

impl Impostor {
    /// Answers every request with `answer`; never, if it is none.
    fn start(name: &str, answer: Option<Vec<u8>>) -> Self {
        let path = std::env::temp_dir().join(format!("edgeshift-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                if let Some(answer) = &answer {
                    let _ = stream.write_all(answer).await;
                } else {
                    open.push(stream);
                }
            }
        });
        Self(path)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.0.display())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A look at the engine at `address` and at this process.
async fn look(address: &str) -> Snapshot {
    let sources: [Arc<dyn Source>; 2] = [Arc::new(Docker::new(address)), Arc::new(OwnProcess::new("/", Vec::new()))];
    look_once(&sources, Clock::system()).await
}

/// The engine is not known, for `reason`, and everything else is as it would be without it.
fn assert_only_the_engine_is_missing(snapshot: &Snapshot, reason: &str) {
    let Observed::Unknown(why) = &snapshot.engine else { panic!("{:?}", snapshot.engine) };
    assert!(why.expected && why.what.contains(reason), "{why:?}");
    assert!(snapshot.process.known().is_some());
    let answers: Vec<bool> = snapshot.sources.iter().map(|line| line.answer.known().is_some()).collect();
    assert_eq!(answers, [false, true]);
    // And it can be kept.
    let json = snapshot.to_json();
    assert_eq!(Snapshot::from_json(&json).unwrap().to_json(), json);
}

#[tokio::test]
async fn an_engine_that_is_absent_is_named() {
    assert_only_the_engine_is_missing(&look("unix:///nowhere/docker.sock").await, "docker: cannot ");
    assert_only_the_engine_is_missing(&look("gopher://x").await, "docker: cannot use gopher://x");
}

#[tokio::test]
async fn an_engine_that_hangs_costs_its_own_time_only() {
    let impostor = Impostor::start("hangs", None);
    let started = tokio::time::Instant::now();
    assert_only_the_engine_is_missing(&look(&impostor.address()).await, "no answer within 5 s");
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_engine_that_answers_garbage_breaks_nothing() {
    let http = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes();
    let answers = [
        b"\x00\xff\x00 not HTTP".to_vec(),
        Vec::new(),
        http(""),
        http("[]"),
        http("{\"ApiVersion\": \"nonsense\"}"),
        http("{\"ApiVersion\": \"1.41\", \"Version\": 7}"),
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{".to_vec(),
    ];
    for (i, answer) in answers.into_iter().enumerate() {
        let impostor = Impostor::start(&format!("garbage-{i}"), Some(answer));
        assert_only_the_engine_is_missing(&look(&impostor.address()).await, "docker: ");
    }
}
