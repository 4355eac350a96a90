#![no_main]
//! What others answer, taken as far as it reads: pages of metrics, dates, the sidecar's words, proxies' heads, what the kernel says of
//! mounts, limits and control groups, twins, and snapshots in files. What reads is kept as it reads.

use edgeshift::evidence::{
    ClockOffset, Limits, MetricsPage, Owner, ProxyAnswer, RuntimeTwins, Sidecar, Snapshot, Volume,
};
use edgeshift::hub::{reported, twin_change};
use edgeshift::manifest::Manifest;
use edgeshift::text::Source;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (u8, u16, &str, &str, i32)| {
    let (kind, status, head, body, now) = input;
    let now = Timestamp::from_second(i64::from(now)).unwrap_or_default();
    match kind % 6 {
        0 => pages(status, head, body, now),
        1 => proxy(head.as_bytes(), usize::from(status)),
        2 => kernel(head, body),
        3 => twins(head, body),
        4 => changes(&[head, body], now),
        _ => snapshots(body),
    }
});

fn pages(status: u16, head: &str, body: &str, now: Timestamp) {
    let page = MetricsPage::of(status, Some(head), body);
    assert!(page.families <= body.lines().count());
    assert!(page.format.is_none_or(|format| format.chars().count() <= 40 && !format.contains(char::is_control)));
    let sidecar = Sidecar::of(status, body.as_bytes());
    assert!(sidecar.version.is_none_or(|version| !version.contains(char::is_control)));
    for date in [head.to_owned(), format!("Thu, {head} GMT")] {
        if let Some(offset) = ClockOffset::of("h", &date, now) {
            assert_eq!(offset.beside, "h");
        }
    }
}

/// What was once judged is not judged otherwise when more comes.
fn proxy(rest: &[u8], cut: usize) {
    for start in ["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 407 "] {
        let head = [start.as_bytes(), rest].concat();
        assert!(ProxyAnswer::of_head(&head, true).is_some());
        let part = ProxyAnswer::of_head(&head[..cut.min(head.len())], false);
        if part.is_some() {
            assert_eq!(ProxyAnswer::of_head(&head, false), part);
        }
    }
}

fn kernel(head: &str, body: &str) {
    for line in head.lines().chain([format!("36 35 98:0 /m {head} {body} master:1 - ext3 /dev/root rw").as_str()]) {
        if let Some(volume) = Volume::of_mount(line) {
            assert!(!volume.target.is_empty() || line.contains("  ") || line.starts_with(' '), "{line:?}");
        }
    }
    for limits in [
        Limits::of_version_1(head, body, body),
        Limits::of_version_1(body, head, "100000"),
        Limits::of_version_2(head, body),
    ] {
        assert!(limits.memory.is_none_or(|memory| memory > 0) && limits.nano_cpus.is_none_or(|cpus| cpus >= 0));
    }
    for cgroup in [head.to_owned(), format!("0::/{head}/docker-{}.scope/{body}", "a".repeat(64))] {
        if let Owner::Container(ids) = Owner::of(&cgroup, body) {
            assert!(!ids.is_empty() && ids.iter().all(|id| id.len() == 64 && cgroup.contains(id.as_str())));
        }
    }
}

/// What IoT Edge's own modules report.
fn twins(head: &str, body: &str) {
    let word = Value::from(head);
    let framed = [
        format!(r#"{{"properties":{{"desired":{body},"reported":{body}}}}}"#),
        format!(
            r#"[{{"moduleId":"$edgeAgent","properties":{{"desired":{{"modules":{body}}},"reported":{{"modules":{body},"lastDesiredStatus":{{"description":{word}}},"runtime":{{"platform":{{"os":{word},"architecture":{word}}}}},"$metadata":{body}}}}}}},{{"moduleId":"$edgeHub","properties":{{"desired":{{}},"reported":{{"clients":{body}}}}}}}]"#
        ),
    ];
    for text in framed.iter().map(String::as_str).chain([head, body]) {
        let Some(read) = RuntimeTwins::read(text) else { continue };
        if let Some(text) = read.manifest_text() {
            // A deployment, or an error that says why not.
            let _ = Manifest::read(&Source::new("twin", text));
        }
    }
}

/// What siblings report.
fn changes(bodies: &[&str], now: Timestamp) {
    let patches = bodies.iter().filter_map(|body| serde_json::from_str::<Value>(body).ok());
    let twin = patches.filter(Value::is_object).fold(None, |known, patch| Some(twin_change::taken(known, &patch, now)));
    if let Some(twin) = twin {
        assert!(twin.reported.is_object() && reported::size(&twin.reported) <= twin_change::MAX_SIZE);
        assert_eq!(serde_json::from_str::<Value>(&twin.reported.to_string()).ok(), Some(twin.reported));
    }
}

fn snapshots(body: &str) {
    let head = r#"{"edgeshift_snapshot":1,"taken_at":"2026-01-01T00:00:00Z","sources":[],"network":"#;
    for text in [body.to_owned(), format!(r#"{head}{{"known":{body}}}}}"#)] {
        if let Ok(read) = Snapshot::from_json(&text) {
            let kept = read.to_json();
            assert_eq!(Snapshot::from_json(&kept).map(|read| read.to_json()).ok(), Some(kept));
        }
    }
}
