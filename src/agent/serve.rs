//! Answers the cloud: desired properties become settings, direct methods become verbs.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Assessment, Channels, settings_of};
use crate::engine::Rule;
use crate::hub::method::{Request, Response};
use crate::link::{Event, Session};
use crate::output::{self, CheckResult, Judged};
use crate::verbs;

/// The methods, which are the verbs.
const METHODS: [&str; 3] = ["check", "explain", "rules"];

pub(super) async fn run<S: Session>(session: Arc<S>, mut channels: Channels) {
    loop {
        let event = tokio::select! {
            event = session.next() => event,
            () = channels.stopped() => return,
        };
        match event {
            None => return channels.stopped().await,
            // Settings that cannot be used leave the last good ones in force.
            Some(Event::Desired(desired)) => {
                if let Some(settings) = settings_of(&desired) {
                    channels.settings.send_replace(settings);
                }
            }
            Some(Event::Method(request, answer)) => {
                let assessment = channels.assessment.borrow().clone();
                answer.send(respond(&request, &channels, assessment.as_deref()));
            }
        }
    }
}

fn respond(request: &Request, channels: &Channels, assessment: Option<&Assessment>) -> Response {
    match request.name.as_str() {
        "check" => match assessment {
            Some(assessment) => with_arguments(request, |args| check(&args, channels, assessment)),
            None => Response::error(503, "nothing was collected yet; ask again in a moment"),
        },
        "explain" => with_arguments(request, |args| match verbs::explain::explain(&args) {
            Ok(rules) => {
                let page = |rule: &Rule| json!({ "rule": rule.id, "page": output::text::page(rule) });
                Response::ok(rules.into_iter().map(page).collect())
            }
            Err(error) => Response::error(404, error.to_string()),
        }),
        "rules" => json_answer(&output::json::rules(verbs::rules::rules())),
        other => Response::error(404, format!("there is no method `{other}`, there are {}", METHODS.join(", "))),
    }
}

fn check(args: &verbs::check::CheckArgs, channels: &Channels, assessment: &Assessment) -> Response {
    let settings = match args.settings(&channels.settings.borrow()) {
        Ok(settings) => settings,
        Err(error) => return Response::error(400, error.to_string()),
    };
    let snapshot = assessment.snapshot.as_ref().clone();
    let report = verbs::check::check(&snapshot, &settings);
    let status = args.verdict(&report);
    let name = snapshot.manifest.known().map_or("device", |manifest| manifest.document().source().name()).to_owned();
    let judged = vec![Judged { name, snapshot, report, status }];
    json_answer(&output::json::check(&CheckResult { judged, rejected: Vec::new() }))
}

/// Reads the payload as the verb's arguments; none at all means the defaults.
fn with_arguments<A: DeserializeOwned>(request: &Request, answer: impl FnOnce(A) -> Response) -> Response {
    let payload = if request.payload.is_null() { json!({}) } else { request.payload.clone() };
    match serde_json::from_value(payload) {
        Ok(args) => answer(args),
        Err(error) => Response::error(400, format!("payload of {}: {error}", request.name)),
    }
}

/// The same JSON as the command line prints.
fn json_answer(text: &str) -> Response {
    match serde_json::from_str::<Value>(text) {
        Ok(payload) => Response::ok(payload),
        Err(error) => Response::error(500, format!("internal error: {error}")),
    }
}
