//! Planted secrets come out nowhere: in environment values, URLs, credentials, connection strings and arguments, in sound
//! deployments, in broken createOptions and in broken files, through every format.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;

use edgeshift::evidence::Snapshot;
use edgeshift::manifest::Manifest;
use edgeshift::output::{CheckResult, Judged, Reason, Rejected, json, text};
use edgeshift::report::Status;
use edgeshift::settings::Settings;
use edgeshift::text::Source;
use edgeshift::verbs::check::check;

const FILES: usize = 100;

/// Secrets that no other text contains: letters and digits of a small generator, so that a failure can be repeated.
struct Secrets {
    state: u64,
    planted: Vec<String>,
}

impl Secrets {
    fn next(&mut self) -> String {
        let mut secret = String::from("Zq");
        for _ in 0..14 {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let letters = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
            secret.push(char::from(letters[usize::try_from(self.state >> 33).unwrap() % letters.len()]));
        }
        self.planted.push(secret.clone());
        secret
    }
}

/// A deployment with ten secrets, in places that rules look at.
fn deployment(secrets: &mut Secrets, broken_options: bool) -> String {
    let options = serde_json::json!({
        "Env": [
            format!("DB__{}", "x").replace("DB__x", "Conn:String") + "=" + &secrets.next(),
            format!("WIRESERVER_ADDRESS_KEY={}", secrets.next()),
            format!("https_proxy=http://user:{}@proxy.example:3128", secrets.next()),
            format!("NO_EQUALS:{}", secrets.next()),
        ],
        "Cmd": ["--password", secrets.next(), format!("--c=HostName=h;SharedAccessKey={}", secrets.next())],
        "HostConfig": { "Binds": ["/home/hcsshares/in:/in"], "Env": [format!("LOST={}", secrets.next())] },
    });
    let mut options = options.to_string();
    if broken_options {
        options.pop();
    }
    serde_json::json!({
        "modulesContent": {
            "$edgeAgent": { "properties.desired": {
                "runtime": { "settings": { "registryCredentials": {
                    "r": { "address": "r.example", "username": "u", "password": secrets.next() },
                } } },
                "systemModules": { "edgeHub": { "settings": { "image": "h:1", "createOptions": "{}" } } },
                "modules": { "Module_A": {
                    "env": { "Inbound:Key": { "value": secrets.next() }, "UpstreamProtocol": "x" },
                    "settings": { "image": "a", "createOptions": options },
                } },
            } },
            "Module_A": { "properties.desired": { "url": format!("https://u:{}@h/", secrets.next()) } },
        },
    })
    .to_string()
}

fn outputs(result: &CheckResult) -> String {
    let mut out = String::new();
    for colour in [false, true] {
        out.push_str(&text::check(result, text::Style { colour, width: 240 }));
        for rejected in &result.rejected {
            out.push_str(&text::rejected(rejected, text::Style { colour, width: 240 }));
        }
    }
    let _ = write!(out, "{}", json::check(result));
    out
}

#[test]
fn a_thousand_planted_secrets_come_out_nowhere() {
    let mut secrets = Secrets { state: 20_261_124, planted: Vec::new() };
    let mut result = CheckResult::default();
    for i in 0..FILES {
        let mut text = deployment(&mut secrets, i % 4 == 1);
        match i % 4 {
            // One line, many lines, or no JSON: the last brace is missing, or a comma in the middle.
            2 => text = format!("{:#}", serde_json::from_str::<serde_json::Value>(&text).unwrap()),
            3 if i % 8 == 3 => text.truncate(text.len() - 1),
            3 => text = text.replacen("\",\"", "\" \"", 1),
            _ => {}
        }
        let name = format!("{i}.json");
        match Manifest::read(&Source::new(name.as_str(), text)) {
            Ok(manifest) => {
                let snapshot = Snapshot::of_manifest(manifest, "2026-01-01T00:00:00Z".parse().unwrap());
                let report = check(&snapshot, &Settings::default());
                assert!(report.summary().block > 0, "{name}: nothing is shown that could give a secret away");
                result.judged.push(Judged { name, snapshot, report, status: Status::Fail });
            }
            Err(error) => result.rejected.push(Rejected { name, reason: Reason::Manifest(error) }),
        }
    }
    assert_eq!(secrets.planted.len(), 1_000);
    assert_eq!((result.judged.len(), result.rejected.len()), (75, 25));
    let out = outputs(&result);
    assert!(out.contains("****"), "secrets are overwritten where their lines are shown");
    for secret in &secrets.planted {
        // Parts would do for a thief too.
        for part in [&secret[..], &secret[..8], &secret[8..]] {
            if let Some(at) = out.find(part) {
                let around: String = out[at.saturating_sub(200)..].chars().take(400).collect();
                panic!("`{part}` of `{secret}` came out:\n{around}");
            }
        }
    }
}
