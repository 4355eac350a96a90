//! What a monitor on the device asks for: `/metrics` as `OpenMetrics` or as Prometheus' older text, `/healthz` (are the tasks alive?) and
//! `/readyz` (is anything known, and can it be said?). Nothing secret is in them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::{Assessment, Channels, dcgm_metrics, gpu_metrics};
use crate::finding::Severity;
use crate::link::Session;
use crate::report::Health;

/// Serves on `listener` until the module ends.
pub(super) async fn run<S: Session>(listener: Arc<TcpListener>, session: Arc<S>, channels: Channels) {
    let state = Served { session, channels };
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<S>))
        .with_state(state);
    // The listener outlives a task that dies.
    if let Err(error) = axum::serve(Shared(listener), router).await {
        tracing::error!(%error, "Metrics are no longer served.");
    }
}

/// What the pages are made of.
struct Served<S> {
    session: Arc<S>,
    channels: Channels,
}

impl<S> Clone for Served<S> {
    fn clone(&self) -> Self {
        Self { session: Arc::clone(&self.session), channels: self.channels.clone() }
    }
}

/// A listener that several servers may have, one after the other.
struct Shared(Arc<TcpListener>);

impl axum::serve::Listener for Shared {
    type Io = tokio::net::TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                // No more files, or a client that is gone: the next one may have more luck.
                Err(error) => {
                    tracing::debug!(%error, "A connection to the metrics was not accepted.");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Ready once something was judged and edgeHub is there to be told; else what is missing.
async fn ready<S: Session>(State(served): State<Served<S>>) -> (StatusCode, String) {
    let mut missing = String::new();
    if !served.session.is_connected() {
        missing.push_str("no connection to edgeHub\n");
    }
    if served.channels.desired.borrow().is_none() {
        missing.push_str("the desired properties were not read\n");
    }
    if served.channels.assessment.borrow().is_none() {
        missing.push_str("nothing was judged yet\n");
    }
    if missing.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, missing) }
}

async fn metrics<S: Session>(State(served): State<Served<S>>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accepted.collect::<Vec<_>>().join(","));
    let (status, text) = match served.text(format) {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    (status, [(header::CONTENT_TYPE, format.content_type())], text)
}

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus' text, version 0.0.4.
    Prometheus,
}

impl Format {
    /// What the header `Accept` likes better; the older text for whoever does not say.
    fn accepted(header: &str) -> Self {
        let quality = |wanted: &str| {
            let of = |range: &str| {
                let mut parts = range.split(';').map(str::trim);
                let is_wanted = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
                let quality = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse().ok());
                is_wanted.then(|| quality.unwrap_or(1.0))
            };
            header.split(',').filter_map(of).fold(0.0, f64::max)
        };
        let open = quality("application/openmetrics-text");
        if open > 0.0 && open >= quality("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfModule {
    module: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSeverity {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTask {
    task: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

impl<S: Session> Served<S> {
    fn text(&self, format: Format) -> Result<String, std::fmt::Error> {
        let (registry, mut out) = (self.registry(), String::new());
        match format {
            Format::OpenMetrics => text::encode_registry(&mut out, &registry)?,
            Format::Prometheus => prometheus_text::encode(&mut out, &registry)?,
        }
        if let Some(assessment) = &*self.channels.assessment.borrow() {
            let names = self.channels.settings().metrics.dcgm;
            out.push_str(&dcgm_metrics::text(&assessment.snapshot, names, format));
        }
        if format == Format::OpenMetrics {
            text::encode_eof(&mut out)?;
        }
        Ok(out)
    }

    /// Made anew for each question, out of what is known now.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("edgeshift");
        let about = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of EdgeShift", about);
        registry.register(
            "edgehub_connected",
            "Whether edgeHub can be reached: 1 or 0",
            ConstGauge::new(i64::from(self.session.is_connected())),
        );
        let outbox = self.channels.outbox.standing();
        let count = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        registry.register("telemetry_waiting", "Messages that wait to be sent", count(outbox.waiting));
        registry.register("telemetry_sent", "Messages that edgeHub stored", ConstCounter::new(outbox.sent));
        registry.register("telemetry_dropped", "Messages that were lost", ConstCounter::new(outbox.dropped));
        let withheld = *self.channels.withheld.borrow();
        registry.register("reported_withheld", "Reported properties that IoT Hub does not take", count(withheld));
        let restarts = Family::<OfTask, prometheus_client::metrics::counter::Counter>::default();
        for (task, times) in &*self.channels.restarts.borrow() {
            restarts.get_or_create(&OfTask { task }).inc_by(*times);
        }
        registry.register("task_restarts", "Tasks of EdgeShift that died and started again", restarts);
        if let Some(assessment) = &*self.channels.assessment.borrow() {
            of_assessment(&mut registry, assessment);
        }
        registry
    }
}

fn of_assessment(registry: &mut Registry, assessment: &Assessment) {
    let taken_at = ConstGauge::new(assessment.snapshot.taken_at.as_second());
    registry.register("snapshot_timestamp_seconds", "When everything was last looked at, Unix time", taken_at);
    let summary = assessment.report.summary();
    let findings = Family::<OfSeverity, Gauge>::default();
    for (severity, count) in [
        (Severity::Block, summary.block),
        (Severity::Silent, summary.silent),
        (Severity::Warn, summary.warn),
        (Severity::Info, summary.info),
    ] {
        findings.get_or_create(&OfSeverity { severity: severity.word() }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("findings", "Findings of the last check", findings);
    let (health, running) = (Family::<OfModule, Gauge>::default(), Family::<OfModule, Gauge>::default());
    for module in &assessment.modules {
        let label = OfModule { module: module.id.clone() };
        let level = match module.settled.standing.health {
            Health::Ready => 0,
            Health::Unknown => 1,
            Health::Degraded => 2,
            Health::Blocked => 3,
        };
        health.get_or_create(&label).set(level);
        running.get_or_create(&label).set(i64::from(module.state == "running"));
    }
    let help = "How a module stands on the way to the target: 0 ready, 1 unknown, 2 degraded, 3 blocked";
    registry.register("module_health", help, health);
    registry.register("module_running", "Whether a module is reported as running: 1 or 0", running);
    let looks = Family::<OfSource, Gauge<f64, AtomicU64>>::default();
    for line in &assessment.snapshot.sources {
        let seconds = std::time::Duration::from_millis(line.latency_ms).as_secs_f64();
        looks.get_or_create(&OfSource { source: line.name.clone() }).set(seconds);
    }
    registry.register("source_look_seconds", "How long the last look of a source took", looks);
    gpu_metrics::register(registry, &assessment.snapshot, &assessment.report);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_chooses_the_format() {
        for (header, expected) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain; version=0.0.4, Application/OpenMetrics-Text; version=1.0.0", Format::OpenMetrics),
            ("application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.5", Format::Prometheus),
            ("application/openmetrics-text;q=0,*/*", Format::Prometheus),
            // What Prometheus sends.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(Format::accepted(header), expected, "{header}");
        }
    }
}
