//! A workload API that gives prepared answers on a unix socket, one for each connection, and keeps what it was asked.

use std::path::PathBuf;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    pub(crate) asked: mpsc::UnboundedReceiver<Asked>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Asked {
    /// `POST /modules/…?api-version=…`
    pub(crate) line: String,
    pub(crate) body: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Daemon {
    /// Answers with each status and body in turn; after the last, connections are closed.
    pub(crate) fn start(answers: Vec<(u16, String)>) -> Self {
        let name = format!("edgeshift-{}-{:?}.sock", std::process::id(), std::thread::current().id());
        let socket = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, asked) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let asked = serve(stream, status, &body).await;
                let _ = sender.send(asked);
            }
        });
        Self { socket, asked }
    }

    pub(crate) fn uri(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

async fn serve(stream: UnixStream, status: u16, body: &str) -> Asked {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.unwrap();
        match header.trim().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut sent = vec![0; length];
    stream.read_exact(&mut sent).await.unwrap();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    // Who has had enough hangs up.
    let _ = stream.write_all(answer.as_bytes()).await;
    Asked { line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(), body: String::from_utf8(sent).unwrap() }
}
