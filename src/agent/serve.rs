//! Answers the cloud: desired properties become settings, direct methods become verbs.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::siblings::Siblings;
use super::{Assessment, Channels, Clock};
use crate::engine::Rule;
use crate::hub::method::{Request, Response};
use crate::link::{Answer, Event, Session};
use crate::manifest::Manifest;
use crate::output::{self, CheckResult, Judged};
use crate::settings::LogLevel;
use crate::verbs;
use crate::verbs::check::CheckArgs;

/// The methods: the verbs, and two of the module itself.
const METHODS: [&str; 9] = ["check", "explain", "gpu", "ping", "refresh", "render", "rules", "snapshot", "status"];

/// How many may run at a time.
pub(super) const AT_ONCE: usize = 4;

/// How long a method may take: callers wait 30 s unless they say otherwise (`iothub-limits.md` §3).
const DEADLINE: Duration = Duration::from_secs(25);

pub(super) async fn run<S: Session>(
    session: Arc<S>,
    log: Arc<dyn Fn(Option<LogLevel>) + Send + Sync>,
    running: Arc<Semaphore>,
    (siblings, clock): (Siblings, Clock),
    channels: Channels,
) {
    while let Some(event) = session.next().await {
        match event {
            Event::Desired(section) => {
                let before = channels.desired.borrow().clone().unwrap_or_default();
                let desired = before.then(&section);
                for (key, problem) in &desired.refused {
                    tracing::warn!(%key, %problem, "A desired property was refused; what was in force stays.");
                }
                log(desired.settings.log);
                channels.desired.send_replace(Some(desired));
            }
            Event::Input(input) => siblings.take(&input, clock.now()),
            Event::Method(request, answer) => {
                let Ok(permit) = Arc::clone(&running).try_acquire_owned() else {
                    answer.send(Response::error(429, format!("{AT_ONCE} methods are running; call again in a moment")));
                    continue;
                };
                let channels = channels.clone();
                tokio::spawn(async move {
                    respond(request, answer, channels).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Answers in time, whatever happens.
async fn respond(request: Request, answer: Answer, channels: Channels) {
    let name = request.name.clone();
    let work = tokio::spawn(async move {
        match request.name.as_str() {
            "refresh" => refresh(&channels).await,
            // Judging takes a processor for a while: not one that the session needs.
            _ => {
                tokio::task::spawn_blocking(move || respond_now(&request, &channels)).await.unwrap_or_else(|_| broken())
            }
        }
    });
    let response = match timeout(DEADLINE, work).await {
        Ok(done) => done.unwrap_or_else(|_| broken()),
        Err(_) => Response::error(504, format!("{name} did not end within {} s", DEADLINE.as_secs())),
    };
    answer.send(response);
}

fn broken() -> Response {
    Response::error(500, "internal error: the method broke, a fault of EdgeShift")
}

/// Looks at everything at once and says how it stands.
async fn refresh(channels: &Channels) -> Response {
    let mut assessments = channels.assessment.subscribe();
    let before = assessments.borrow_and_update().as_ref().map(|assessment| assessment.snapshot.taken_at);
    channels.refresh.send_modify(|count| *count += 1);
    // The one that is under way may be older than the question.
    let newer = |assessment: &Option<Arc<Assessment>>| {
        assessment.as_ref().is_some_and(|assessment| Some(assessment.snapshot.taken_at) > before)
    };
    match assessments.wait_for(newer).await.map(|assessment| assessment.clone()) {
        Ok(Some(assessment)) => {
            let taken_at = assessment.snapshot.taken_at.to_string();
            // What this look came to, which the twin may not say yet.
            let (health, summary) = (assessment.report.overall_health(), assessment.report.summary());
            let settled = assessment.standings.overall.standing.health;
            Response::ok(json!({ "taken_at": taken_at, "health": health, "settled": settled, "summary": summary }))
        }
        _ => Response::error(503, "the module is ending"),
    }
}

fn respond_now(request: &Request, channels: &Channels) -> Response {
    match request.name.as_str() {
        "check" => of_assessment(request, channels, |args, assessment| {
            let judged = vec![judge(&args, channels, assessment)?];
            parsed(&output::json::check(&CheckResult { judged, ..CheckResult::default() }))
        }),
        "explain" => with_arguments(request, |args| match verbs::explain::explain(&args) {
            Ok(rules) => {
                let page = |rule: &Rule| json!({ "rule": rule.id, "page": output::text::page(rule) });
                Ok(rules.into_iter().map(page).collect())
            }
            Err(error) => Err(Response::error(404, error.to_string())),
        }),
        "gpu" => of_assessment(request, channels, |args, assessment| {
            let report = verbs::gpu::gpu(&args, &assessment.snapshot, &channels.settings());
            parsed(&output::json::gpu(&assessment.snapshot, &report))
        }),
        "ping" => with_arguments(request, |_: NoArguments| {
            let taken_at =
                channels.assessment.borrow().as_ref().map(|assessment| assessment.snapshot.taken_at.to_string());
            Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "taken_at": taken_at }))
        }),
        "render" => of_assessment(request, channels, |args, assessment| match assessment.snapshot.manifest.known() {
            Some(manifest) => render(&args, manifest),
            None => Err(Response::error(503, "no deployment is known yet: hand one over first")),
        }),
        "rules" => with_arguments(request, |_: NoArguments| parsed(&output::json::rules(verbs::rules::rules()))),
        "snapshot" => {
            of_assessment(request, channels, |_: NoArguments, assessment| parsed(&assessment.snapshot.to_json()))
        }
        "status" => of_assessment(request, channels, |args, assessment| {
            let judged = judge(&args, channels, assessment)?;
            // What was remembered is about the settings of the module.
            let is_remembered =
                args.settings(&assessment.settings).is_ok_and(|settings| settings == assessment.settings);
            parsed(&output::status::json(&judged, is_remembered.then_some(&assessment.standings)))
        }),
        other => Response::error(404, format!("there is no method `{other}`, there are {}", METHODS.join(", "))),
    }
}

/// Answers out of what was judged last.
fn of_assessment<A: DeserializeOwned>(
    request: &Request,
    channels: &Channels,
    answer: impl FnOnce(A, &Assessment) -> Result<Value, Response>,
) -> Response {
    let assessment = channels.assessment.borrow().clone();
    match assessment {
        Some(assessment) => with_arguments(request, |args| answer(args, &assessment)),
        None => Response::error(503, "nothing was collected yet; ask again in a moment"),
    }
}

/// What a method takes that takes nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

/// Judges what was seen last as `args` say.
fn judge(args: &CheckArgs, channels: &Channels, assessment: &Assessment) -> Result<Judged, Response> {
    let settings = args.settings(&channels.settings()).map_err(|error| Response::error(400, error.to_string()))?;
    Ok(Judged::of_device(assessment.snapshot.as_ref().clone(), &settings, args))
}

/// Secrets are never shown here.
fn render(args: &verbs::render::RenderArgs, manifest: &Manifest) -> Result<Value, Response> {
    let rendering =
        verbs::render::render(manifest, args, false).map_err(|error| Response::error(400, error.to_string()))?;
    parsed(&output::render::json(&rendering).map_err(|error| Response::error(500, error.to_string()))?)
}

/// Reads the payload as the verb's arguments and answers with the page that it asks for; no payload means the defaults and
/// the first page.
fn with_arguments<A: DeserializeOwned>(
    request: &Request,
    answer: impl FnOnce(A) -> Result<Value, Response>,
) -> Response {
    // azure-iot-hub sends an empty text for no payload.
    let is_none = request.payload.is_null() || request.payload == "";
    let mut payload = if is_none { json!({}) } else { request.payload.clone() };
    let next = payload.as_object_mut().and_then(|payload| payload.remove("next"));
    let args = match serde_path_to_error::deserialize(payload) {
        Ok(args) => args,
        Err(error) => {
            let path = error.path().to_string();
            let at = if path == "." { String::new() } else { format!(" at {path}") };
            return Response::error(400, format!("payload of {}{at}: {}", request.name, error.into_inner()));
        }
    };
    match answer(args) {
        Ok(value) => Response::page(value, next.as_ref()),
        Err(refusal) => refusal,
    }
}

/// The same JSON as the command line prints.
fn parsed(text: &str) -> Result<Value, Response> {
    serde_json::from_str(text).map_err(|error| Response::error(500, format!("internal error: {error}")))
}
