//! `agent`: the long-lived module. Takes its identity from the environment, logs to stdout, ends on SIGTERM.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::device::{SourceName, sources, variable};
use crate::agent::{Agent, Clock};
use crate::iotedge::Identity;
use crate::link::{Endpoint, Mqtt, Pace};
use crate::settings::LogLevel;
use crate::sources::nvml::Nvml;

/// What `agent` can be told; everything else is in the desired properties of its twin.
#[derive(Debug, clap::Args)]
pub(super) struct AgentCommand {
    /// Where /metrics, /healthz and /readyz are served; port 0 is any that is free, `off` serves them nowhere
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9600")]
    listen: Listen,

    /// Where to look on the device
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SOURCE", default_value = "all")]
    source: Vec<SourceName>,

    /// A folder in which what is learnt of the GPUs outlives a restart; without it, it is learnt anew
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Listen(Option<SocketAddr>);

impl std::str::FromStr for Listen {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

pub(super) fn run(command: &AgentCommand) -> anyhow::Result<super::Exit> {
    let identity = Identity::from_variables(variable).context("the module does not know who it is")?;
    let log = logging();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the module's tasks")?;
    runtime.block_on(live(identity, command, log))?;
    Ok(super::Exit::Pass)
}

async fn live(
    identity: Identity,
    command: &AgentCommand,
    log: Arc<dyn Fn(Option<LogLevel>) + Send + Sync>,
) -> anyhow::Result<()> {
    let listener = match command.listen.0 {
        None => None,
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("cannot listen on {address}; name another place with --listen"))?)
        }
    };
    let at = listener.as_ref().and_then(|listener| listener.local_addr().ok()).map(tracing::field::display);
    let (version, module) = (env!("CARGO_PKG_VERSION"), identity.client_id());
    tracing::info!(version, %module, gateway = %identity.gateway, metrics = at, "EdgeShift starts.");
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("EdgeShift ends.");
        stop.send_replace(true);
        // The module ends when it has said all; then nobody looks at the channel any more.
        stop.closed().await;
    });
    let session = Mqtt::start(identity.clone(), Endpoint::of(&identity), identity.credentials(), Pace::default());
    let clock = Clock::system();
    let (mut sources, left_out) = sources(&command.source, clock);
    for line in left_out {
        tracing::info!(source = line.name, why = ?line.answer, "There is no such source here.");
    }
    if command.state.is_none() {
        tracing::info!(
            "What is learnt of the GPUs does not outlive this process: there is no folder for it (--state)."
        );
    }
    let gpus = Nvml::keeping(None, command.state.as_deref()).context("cannot start to look at the GPUs")?;
    sources.push(Arc::new(gpus));
    let agent = Agent { sources, session: Arc::new(session), clock, listener, log };
    agent.run(stopped).await;
    Ok(())
}

/// JSON, a line for each event; and what changes the level.
fn logging() -> Arc<dyn Fn(Option<LogLevel>) + Send + Sync> {
    let level = variable("RuntimeLogLevel").map_or_else(LogLevel::default, |name| level_of_runtime(&name));
    let (filter, handle) = reload::Layer::new(targets(level));
    let json = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(true);
    // Nothing else was installed before: this is the only place that does.
    let _ = tracing_subscriber::registry().with(filter).with(json).try_init();
    Arc::new(move |asked| {
        let _ = handle.reload(targets(asked.unwrap_or(level)));
    })
}

/// Our own events at `level`; of libraries what failed. rumqttc would print packets.
fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let off = ["rumqttc", "rumqttc_core", "rumqttc_v4", "mqttbytes"].map(|library| (library, LevelFilter::OFF));
    Targets::new().with_target("edgeshift", own).with_default(LevelFilter::WARN.min(own)).with_targets(off)
}

/// The level that edgeAgent gives to modules, in the words of its own log (`iotedge-protocol.md` §A1).
fn level_of_runtime(name: &str) -> LogLevel {
    match name.to_ascii_lowercase().as_str() {
        "fatal" | "error" => LogLevel::Error,
        "warning" | "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "verbose" => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}
