#![no_main]
//! What others answer, taken as far as it reads: pages of metrics, dates, the sidecar's words, and snapshots in files. What reads is kept as
//! it reads.

use edgeshift::evidence::{ClockOffset, MetricsPage, Sidecar, Snapshot};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &str, &str, i32)| {
    let (status, head, body, now) = input;
    let page = MetricsPage::of(status, Some(head), body);
    assert!(page.families <= body.lines().count());
    assert!(page.format.is_none_or(|format| format.chars().count() <= 40 && !format.contains(char::is_control)));
    let sidecar = Sidecar::of(status, body.as_bytes());
    assert!(sidecar.version.is_none_or(|version| !version.contains(char::is_control)));
    let now = Timestamp::from_second(i64::from(now)).unwrap_or_default();
    for date in [head.to_owned(), format!("Thu, {head} GMT")] {
        if let Some(offset) = ClockOffset::of("h", &date, now) {
            assert_eq!(offset.beside, "h");
        }
    }
    for text in [
        body.to_owned(),
        format!(
            r#"{{"edgeshift_snapshot":1,"taken_at":"2026-01-01T00:00:00Z","sources":[],"network":{{"known":{body}}}}}"#
        ),
    ] {
        if let Ok(read) = Snapshot::from_json(&text) {
            let kept = read.to_json();
            assert_eq!(Snapshot::from_json(&kept).map(|read| read.to_json()).ok(), Some(kept));
        }
    }
});
