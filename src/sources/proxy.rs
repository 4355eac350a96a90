//! Web proxies: where a variable says that one is, and whether it lets one through.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::evidence::{Proxy, ProxyAnswer};

/// How long a proxy may take to answer; it is on the same site.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The longest head of an answer that is read, bytes.
const MAX_HEAD: usize = 8192;

/// The proxies that `variables` name, each tried with a connection to `upstream`, a host that listens on 443.
/// Where `is_elsewhere`, the variables are another container's, whose loopback is not ours.
pub(super) async fn proxies<'v>(
    variables: impl Iterator<Item = (&'v str, &'v str)>,
    upstream: Option<&str>,
    is_elsewhere: bool,
) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for (name, value) in variables {
        if !names(name, value) {
            continue;
        }
        let place = Place::of(value);
        let is_theirs =
            is_elsewhere && ["127.", "localhost:", "[::1]:"].iter().any(|own| place.address.starts_with(own));
        let answer = if is_theirs { None } else { Some(place.answer(upstream).await) };
        proxies.push(Proxy { variable: name.to_owned(), address: place.address, answer });
    }
    proxies.sort_by(|a, b| a.variable.cmp(&b.variable));
    proxies
}

/// The places that `variables` name, each once.
pub(super) fn places<'v>(variables: impl Iterator<Item = (&'v str, &'v str)>) -> Vec<Place> {
    let mut places: Vec<Place> =
        variables.filter(|(name, value)| names(name, value)).map(|(_, v)| Place::of(v)).collect();
    places.sort_by(|a, b| a.address.cmp(&b.address));
    places.dedup_by(|a, b| a.address == b.address);
    places
}

/// Whether a variable names a proxy.
fn names(name: &str, value: &str) -> bool {
    ["https_proxy", "http_proxy"].contains(&name.to_ascii_lowercase().as_str()) && !value.trim().is_empty()
}

/// Where a proxy is, and as whom it is asked; never shown as a whole.
#[derive(Clone)]
pub(super) struct Place {
    /// `host:port`.
    pub(super) address: String,
    user: Option<String>,
    is_tls: bool,
}

impl Place {
    /// Reads `http://user:password@host:port/`, of which only the host is needed.
    fn of(value: &str) -> Self {
        let value = value.trim();
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let is_tls = scheme.eq_ignore_ascii_case("https");
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:{}", if is_tls { 443 } else { 80 }) };
        Self { address, user: user.map(|user| percent_decode_str(user).decode_utf8_lossy().into_owned()), is_tls }
    }

    async fn answer(&self, upstream: Option<&str>) -> ProxyAnswer {
        let upstream = upstream.filter(|host| !host.is_empty() && !host.contains(char::is_whitespace));
        let tried = timeout(TIMEOUT, async {
            match upstream.filter(|_| !self.is_tls) {
                Some(host) => self.tunnel(host, 443).await.map(|_| ProxyAnswer::Connects),
                None => self.connect().await.map(|_| ProxyAnswer::Listens),
            }
        });
        match tried.await {
            Ok(Ok(answer) | Err(answer)) => answer,
            Err(_) => ProxyAnswer::Fails(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    /// A connection to `port` of `host` through the proxy; or what it says in place of one. The caller bounds the time.
    pub(super) async fn tunnel(&self, host: &str, port: u16) -> Result<TcpStream, ProxyAnswer> {
        let mut stream = self.connect().await?;
        if self.is_tls {
            return Err(ProxyAnswer::Fails("a proxy that wants TLS itself was not tried".to_owned()));
        }
        let user = self.user.as_ref();
        let user =
            user.map(|user| format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user))).unwrap_or_default();
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{user}\r\n");
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            let (mut head, mut is_all) = (Vec::new(), false);
            loop {
                if let Some(answer) = ProxyAnswer::of_head(&head, is_all) {
                    return Ok::<_, std::io::Error>(answer);
                }
                is_all = stream.read_buf(&mut head).await? == 0 || head.len() >= MAX_HEAD;
            }
        };
        match exchange.await.map_err(|error| ProxyAnswer::Fails(error.kind().to_string()))? {
            ProxyAnswer::Connects => Ok(stream),
            answer => Err(answer),
        }
    }

    async fn connect(&self) -> Result<TcpStream, ProxyAnswer> {
        TcpStream::connect(&self.address).await.map_err(|error| ProxyAnswer::Fails(error.kind().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A proxy that answers everything with `answer`, and what it was asked.
    async fn proxy(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_iot_hub_and_its_password_is_kept() {
        let (address, asked) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let value = format!("http://user:p%40ss@{address}/");
        let variables = [("HTTPS_PROXY", value.as_str()), ("PATH", "/bin")];
        let found = proxies(variables.into_iter(), Some("h.azure-devices.net"), false).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].address.as_str(), &found[0].answer), (address.as_str(), &Some(ProxyAnswer::Connects)));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("CONNECT h.azure-devices.net:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("Basic {}", STANDARD.encode("user:p@ss"))), "{asked}");
    }

    #[tokio::test]
    async fn what_a_proxy_says_is_told_apart() {
        for (answer, expected) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", ProxyAnswer::Refuses(403)),
            ("SSH-2.0-x\r\n", ProxyAnswer::Fails("it does not speak HTTP".to_owned())),
            ("", ProxyAnswer::Fails("it does not speak HTTP".to_owned())),
        ] {
            let (address, _) = proxy(answer).await;
            let found = proxies([("http_proxy", address.as_str())].into_iter(), Some("h"), false).await;
            assert_eq!(found[0].answer, Some(expected));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let found = proxies([("http_proxy", address.as_str())].into_iter(), None, false).await;
        assert_eq!(found[0].answer, Some(ProxyAnswer::Listens));
        let found = proxies([("http_proxy", address.as_str())].into_iter(), None, true).await;
        assert_eq!(found[0].answer, None, "another container's loopback is not ours");
        drop(listener);
        let found = proxies([("http_proxy", address.as_str())].into_iter(), None, false).await;
        assert_eq!(found[0].answer, Some(ProxyAnswer::Fails("connection refused".to_owned())));
    }

    #[test]
    fn places_are_read_in_every_spelling() {
        for (value, address) in [
            ("proxy:3128", "proxy:3128"),
            ("proxy", "proxy:80"),
            ("https://proxy", "proxy:443"),
            ("http://u:p@proxy:8080/x", "proxy:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(Place::of(value).address, address);
        }
    }
}
