//! The command line: arguments, files, stdout, colour and exit status around the verbs.

mod agent;
mod demo;
mod device;
mod gpu;
mod input;
mod progress;
mod watch;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use jiff::Timestamp;

use self::input::Answer;
use self::progress::Progress;
use crate::evidence::Snapshot;
use crate::manifest::Manifest;
use crate::output::{self, CheckResult, Judged, JudgedSettings, Reason, Rejected, text::Style};
use crate::report::{Report, Status};
use crate::verbs;
use crate::verbs::explain::ExplainArgs;
use crate::verbs::render::RenderArgs;

/// Moves IoT Edge deployments from Azure Stack Edge Pro FPGA to Azure Stack Edge Pro GPU, and watches them there.
#[derive(Debug, Parser)]
#[command(name = "edgeshift", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Judge deployments for the target, finding by finding
    ///
    /// Exit status: 0 all pass; 1 a finding at or above --fail-on; 2 usage or input error; 3 nothing failed, but
    /// something required could not be evaluated.
    Check(CheckCommand),
    /// Show the page of a rule
    Explain(ExplainArgs),
    /// Run as an IoT Edge module: look, judge, report, and answer direct methods, until SIGTERM
    Agent(agent::AgentCommand),
    /// See the main job on a built-in deployment, and the module report from a simulated device
    Demo(demo::DemoCommand),
    /// See what the GPUs of this machine do and how they are, once or live
    ///
    /// Exit status: 0 well; 1 a finding of severity block or silent; 2 usage error; 3 a driver that does not say.
    Gpu(gpu::GpuCommand),
    /// Keep what can be seen of this device in a file, without secrets, for `check --snapshot` anywhere
    Snapshot(device::SnapshotCommand),
    /// Show how every module of this device stands
    Status(device::StatusCommand),
    /// Show the Kubernetes objects that IoT Edge would make of a deployment, or what a change does to them
    ///
    /// Exit status: 0 the agent creates them all; 1 something stops it, or Kubernetes refuses an object; 2 usage or input
    /// error.
    Render(RenderCommand),
    /// List all rules
    Rules {
        /// How to print them
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
}

#[derive(Debug, clap::Args)]
struct CheckCommand {
    /// Deployments, templates, layered deployments or createOptions; folders are searched for *.json; - reads stdin
    #[arg(required_unless_present_any = ["snapshot", "source", "twin"], value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Look at this device too, and judge each deployment with what is seen; without a deployment, what runs
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SOURCE")]
    source: Vec<device::SourceName>,

    /// Judge what a twin of $edgeAgent says too: a file as IoT Hub shows it, or a list of twins
    #[arg(long, value_name = "FILE")]
    twin: Option<PathBuf>,

    /// Judge a snapshot that was taken on a device
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paths", "source", "twin"])]
    snapshot: Option<PathBuf>,

    #[command(flatten)]
    judge: device::JudgeArgs,

    /// How to print the report
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct RenderCommand {
    /// A deployment, template, layered deployment or createOptions; - reads stdin
    #[arg(value_name = "FILE")]
    path: PathBuf,

    /// Compare with this deployment: which objects change, which modules start, stop or restart, and why
    #[arg(long, value_name = "OLD", conflicts_with_all = ["format", "show_values"])]
    diff: Option<PathBuf>,

    #[command(flatten)]
    render: RenderArgs,

    /// How to print them
    #[arg(long, value_enum, default_value = "yaml")]
    format: RenderFormat,

    /// Also show what may be secret: environment values and registry credentials, which are overwritten otherwise
    #[arg(long)]
    show_values: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RenderFormat {
    /// For kubectl
    Yaml,
    /// For programs
    Json,
    /// For people
    Tree,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs; schema/check-1.json is the schema
    Json,
    /// SARIF 2.1.0, for code scanning and editors
    Sarif,
    /// JUnit XML, for pipelines that show tests
    Junit,
    /// Annotations of GitHub Actions
    Github,
    /// A comment for a pull request
    Markdown,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ListFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How a run ended; the number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Pass = 0,
    Fail = 1,
    Usage = 2,
    Unknown = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Parses `arguments`, runs one verb and says how it ended.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Pass };
            // Nowhere to say it if even this fails.
            let _ = error.print();
            return exit.into();
        }
    };
    let exit = match arguments.verb {
        Verb::Agent(command) => agent::run(&command),
        Verb::Check(command) => check(&command),
        Verb::Demo(command) => demo::run(&command),
        Verb::Explain(args) => explain(&args),
        Verb::Gpu(command) => gpu::run(&command),
        Verb::Snapshot(command) => device::snapshot(&command),
        Verb::Status(command) => device::status(&command, style(&std::io::stdout())),
        Verb::Render(command) => render(&command),
        Verb::Rules { format } => rules(format),
    };
    exit.unwrap_or_else(|error| {
        complain(&format!("error: {error:#}\n"));
        Exit::Usage
    })
    .into()
}

fn check(command: &CheckCommand) -> anyhow::Result<Exit> {
    let settings = command.judge.settings()?;
    let args = &command.judge.check;
    let device = match &command.snapshot {
        Some(path) => Some(device::read(path)?),
        None if command.source.is_empty() && command.twin.is_none() => None,
        None => Some(device::look(&command.source, None, command.twin.as_deref())?),
    };
    // What was seen earlier is judged as of then, with the suppressions of that day.
    let now = device.as_ref().map_or_else(now, |snapshot| snapshot.taken_at);
    let inputs = input::Inputs::find(&command.paths);
    let terminal = std::io::stderr().is_terminal().then(std::io::stderr);
    let mut progress = Progress::new(inputs.len(), terminal);
    let mut result = CheckResult::default();
    let mut skipped = 0;
    inputs.read(|answer| match answer {
        Answer::Manifest(name, manifest) => {
            match joined(device.as_ref(), manifest, now) {
                Ok(snapshot) => result.judged.push(Judged::of(name, snapshot, &settings, args)),
                Err(message) => result.rejected.push(Rejected::unreadable(name, message)),
            }
            progress.step();
        }
        Answer::Rejected(rejected) => {
            result.rejected.push(rejected);
            progress.step();
        }
        Answer::NoDeployment => {
            skipped += 1;
            progress.step();
        }
        Answer::Problem(rejected) => result.rejected.push(rejected),
    });
    progress.finish();
    if let Some(device) = device.filter(|_| command.paths.is_empty()) {
        result.judged.push(Judged::of_device(device, &settings, args));
    }
    let reports: Vec<&Report> = result.judged.iter().map(|judged| &judged.report).collect();
    let report = verbs::check::check_settings(&settings, &reports, now);
    let name = input::settings_name(command.judge.settings.as_deref()).display().to_string();
    result.settings = Some(JudgedSettings { name, status: args.verdict(&report), report });
    if skipped > 0 {
        let (files, are) = if skipped == 1 { ("file", "is") } else { ("files", "are") };
        let was = if skipped == 1 { "was" } else { "were" };
        complain(&format!("note: {skipped} JSON {files} in folders {are} no deployment and {was} skipped\n"));
    }
    let style = style(&std::io::stderr());
    for rejected in &result.rejected {
        complain(&output::text::rejected(rejected, style));
    }
    say(&match command.format {
        Format::Text => output::text::check(&result, self::style(&std::io::stdout())),
        Format::Json => output::json::check(&result),
        Format::Sarif => output::sarif::check(&result),
        Format::Junit => output::junit::check(&result),
        Format::Github => output::github::check(&result),
        Format::Markdown => output::markdown::check(&result),
    })?;
    Ok(match result.status() {
        _ if !result.rejected.is_empty() => Exit::Usage,
        Status::Pass => Exit::Pass,
        Status::Fail => Exit::Fail,
        Status::Unknown => Exit::Unknown,
    })
}

/// A deployment with what was seen of the device, if anybody looked.
fn joined(device: Option<&Snapshot>, manifest: Manifest, now: Timestamp) -> Result<Snapshot, String> {
    let Some(device) = device else { return Ok(Snapshot::of_manifest(manifest, now)) };
    let snapshot = Snapshot { manifest: crate::evidence::Observed::Known(manifest), ..device.clone() };
    snapshot.without_secrets().map_err(|error| format!("internal error: {error}"))
}

fn explain(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let pages: Vec<String> = verbs::explain::explain(args)?.into_iter().map(output::text::page).collect();
    say(&pages.join("\n"))?;
    Ok(Exit::Pass)
}

fn render(command: &RenderCommand) -> anyhow::Result<Exit> {
    let manifest = input::one(&command.path).map_err(anyhow::Error::msg)?;
    let (text, rendering) = if let Some(old) = &command.diff {
        let old = input::one(old).map_err(anyhow::Error::msg)?;
        let changes = verbs::render::changes(&old, &manifest, &command.render)?;
        (output::render::changes(&changes)?, changes.after)
    } else {
        let rendering = verbs::render::render(&manifest, &command.render, command.show_values)?;
        let text = match command.format {
            RenderFormat::Yaml => output::render::yaml(&rendering)?,
            RenderFormat::Json => output::render::json(&rendering)?,
            RenderFormat::Tree => output::render::tree(&rendering)?,
        };
        (text, rendering)
    };
    say(&text)?;
    Ok(if rendering.is_carried_out()? { Exit::Pass } else { Exit::Fail })
}

fn rules(format: ListFormat) -> anyhow::Result<Exit> {
    let rules = verbs::rules::rules();
    say(&match format {
        ListFormat::Text => output::text::table(rules),
        ListFormat::Json => output::json::rules(rules),
    })?;
    Ok(Exit::Pass)
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the time of a check is taken")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Writes the report to stdout. A reader that has seen enough is no error.
fn say(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes to stderr; nothing can be done if that fails.
fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Colour only on a terminal that wants it (`NO_COLOR`, `CLICOLOR`, `TERM=dumb`), and no wider than it is.
fn style(stream: &(impl AsFd + anstream::stream::RawStream)) -> Style {
    let colour = anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never;
    let width = terminal_size::terminal_size_of(stream).map_or(140, |(width, _)| usize::from(width.0).clamp(60, 240));
    Style { colour, width }
}

impl Rejected {
    fn unreadable(name: String, message: String) -> Self {
        Self { name, reason: Reason::Unreadable(message) }
    }
}
