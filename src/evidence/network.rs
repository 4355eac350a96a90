//! What can be reached over the network from the place that looks, without any right (`ase-runtime.md` §2.3 and §4).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Observed;

/// The network around the process that looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Whether it was looked at from a pod of Kubernetes.
    pub from_kubernetes: bool,
    /// edgeHub and the siblings, by module id; a Service that belongs to no known module by its own name.
    pub peers: BTreeMap<String, Peer>,
    /// IoT Hub, straight and through proxies.
    pub iot_hub: Observed<IotHub>,
    /// The sidecar of our own pod; absent where nobody listens, unknown on Docker, which has none.
    pub sidecar: Observed<Sidecar>,
    /// The pages with metrics of edgeHub and edgeAgent, by module id; absent where nobody listens.
    pub metrics: BTreeMap<String, Observed<MetricsPage>>,
    /// Our clock beside another one.
    pub clock: Observed<ClockOffset>,
}

/// A module as the network shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The name that was looked up.
    pub host: String,
    /// Its addresses; absent where there is no such name.
    pub addresses: Observed<Vec<String>>,
    /// The ports that were tried: known where somebody takes connections, absent where nobody listens, unknown
    /// where nothing came back.
    #[serde(default)]
    pub ports: BTreeMap<u16, Observed<()>>,
    /// Whether Kubernetes' variables name a Service of it.
    #[serde(default)]
    pub has_service: bool,
}

/// IoT Hub from here, by port: 443 (HTTPS and WebSockets), 5671 (AMQP), 8883 (MQTT).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IotHub {
    /// Its host name.
    pub host: String,
    /// Straight.
    pub straight: BTreeMap<u16, Reach>,
    /// Through each proxy that our variables name.
    pub detours: Vec<Detour>,
}

/// The way to IoT Hub through a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detour {
    /// `host:port` of the proxy, without user and password.
    pub proxy: String,
    /// By port of IoT Hub.
    pub ports: BTreeMap<u16, Reach>,
}

/// What came of going somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// TLS stands.
    Open,
    /// Somebody takes connections and does not speak TLS, for this reason.
    NoTls(String),
    /// Nobody listens there.
    Refused,
    /// The proxy says no, with this HTTP status.
    Denied(u16),
    /// It did not come that far, for this reason.
    Fails(String),
}

/// The sidecar that stands between a module and the IoT Edge daemon on Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The HTTP status of `/systeminfo`; none where something else than HTTP listens there.
    pub status: Option<u16>,
    /// The version of the IoT Edge daemon behind it.
    pub version: Option<String>,
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsPage {
    /// The HTTP status.
    pub status: u16,
    /// The version of Prometheus' text format that the page says it has: `0.0.4`.
    pub format: Option<String>,
    /// How many kinds of metrics are on it.
    pub families: usize,
}

/// Our clock beside another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Whose: a host name.
    pub beside: String,
    /// How far ours is ahead, s; negative where it is behind. The other one tells whole seconds.
    pub ahead_secs: i64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            from_kubernetes: false,
            peers: BTreeMap::new(),
            iot_hub: Observed::not_given("the name of IoT Hub"),
            sidecar: Observed::not_given("a pod of Kubernetes"),
            metrics: BTreeMap::new(),
            clock: Observed::not_given("a host that tells the time"),
        }
    }
}

impl Network {
    /// Whether `other` is what was seen before: clocks that differ by another second are no news.
    pub fn is_like(&self, other: &Self) -> bool {
        let ahead = |network: &Self| network.clock.known().map(|offset| offset.ahead_secs);
        let same_time = match (ahead(self), ahead(other)) {
            (Some(one), Some(two)) => one.abs_diff(two) <= 2,
            (one, two) => one == two,
        };
        same_time && Self { clock: other.clock.clone(), ..self.clone() } == *other
    }
}

impl IotHub {
    /// Whether there is any way to `port`.
    pub fn is_open(&self, port: u16) -> bool {
        let through = self.detours.iter().filter_map(|detour| detour.ports.get(&port));
        self.straight.get(&port).into_iter().chain(through).any(Reach::is_open)
    }
}

impl Sidecar {
    /// What an answer to `/systeminfo` says.
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        Self { status: Some(status), version: body["version"].as_str().map(one_line) }
    }
}

impl MetricsPage {
    /// Reads a page as far as it goes: what is no metric is passed over.
    pub fn of(status: u16, content_type: Option<&str>, body: &str) -> Self {
        let format = content_type.and_then(|content| {
            let version = content.split(';').find_map(|part| part.trim().strip_prefix("version="))?;
            Some(one_line(version))
        });
        let samples = body.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| {
            let (name, rest) = line.split_at(line.find(['{', ' '])?);
            let value = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
            let is_number = value.split_ascii_whitespace().next()?.parse::<f64>().is_ok();
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
            (is_number && is_name).then_some(name)
        });
        Self { status, format, families: names.collect::<BTreeSet<_>>().len() }
    }
}

impl ClockOffset {
    /// Our clock, which shows `now`, beside the `Date` of an answer of `host`; none where that is no date.
    pub fn of(host: &str, date: &str, now: Timestamp) -> Option<Self> {
        let theirs = DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(Self { beside: host.to_owned(), ahead_secs: now.as_second().checked_sub(theirs.as_second())? })
    }
}

impl Reach {
    /// Whether TLS stands.
    pub fn is_open(&self) -> bool {
        matches!(self, Reach::Open)
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reach::Open => f.write_str("open"),
            Reach::NoTls(why) => write!(f, "no TLS: {why}"),
            Reach::Refused => f.write_str("connection refused"),
            Reach::Denied(status) => write!(f, "denied with HTTP status {status}"),
            Reach::Fails(why) => f.write_str(why),
        }
    }
}

/// A word of somebody else's, on one line and no longer than a word is.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_far_as_they_go() {
        let page = "# TYPE edgehub_connected_clients gauge\nedgehub_connected_clients{a=\"} 1\"} 3\nup 1 1700000000\n<html>\nup 1\n";
        let read = MetricsPage::of(200, Some("text/plain; version=0.0.4; charset=utf-8"), page);
        assert_eq!(read, MetricsPage { status: 200, format: Some("0.0.4".to_owned()), families: 2 });
        assert_eq!(
            MetricsPage::of(404, None, "<p>no such page"),
            MetricsPage { status: 404, format: None, families: 0 }
        );
        let sidecar = Sidecar::of(200, br#"{"osType":"Kubernetes","version":"0.1.0-beta13"}"#);
        assert_eq!(sidecar.version.as_deref(), Some("0.1.0-beta13"));
        assert_eq!(Sidecar::of(502, b"Bad gateway"), Sidecar { status: Some(502), version: None });
    }

    #[test]
    fn clocks_are_compared_by_the_second() {
        let now: Timestamp = "2026-11-26T22:10:00.9Z".parse().unwrap();
        let ahead = |date: &str| ClockOffset::of("h", date, now).map(|offset| offset.ahead_secs);
        assert_eq!(ahead("Thu, 26 Nov 2026 22:10:00 GMT"), Some(0));
        assert_eq!(ahead("Thu, 26 Nov 2026 21:10:00 GMT"), Some(3600));
        assert_eq!(ahead("Thu, 26 Nov 2026 22:15:01 GMT"), Some(-301));
        assert_eq!(ahead("yesterday"), None);
    }

    #[test]
    fn a_second_more_is_no_news_and_a_port_less_is() {
        let offset = |ahead_secs| Observed::Known(ClockOffset { beside: "h".to_owned(), ahead_secs });
        let one = Network { clock: offset(1), ..Network::default() };
        assert!(one.is_like(&Network { clock: offset(2), ..Network::default() }));
        assert!(!one.is_like(&Network { clock: offset(20), ..Network::default() }));
        assert!(!one.is_like(&Network::default()));
        let peer = Peer {
            host: "h".to_owned(),
            addresses: Observed::Absent,
            ports: [(80, Observed::Absent)].into(),
            has_service: false,
        };
        let two = Network { peers: [("h".to_owned(), peer)].into(), ..one.clone() };
        assert!(!one.is_like(&two) && two.is_like(&two.clone()));
        let json = serde_json::to_string(&two).unwrap();
        assert_eq!(serde_json::from_str::<Network>(&json).unwrap(), two);
    }
}
