//! How busy containers keep the processor, by the engine's figures.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use bollard::query_parameters::StatsOptions;
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::evidence::ProcessorTime;

/// How long the figures of a container may take; engines before 20.10 look at them twice, a second apart.
const FIGURES_TIMEOUT: Duration = Duration::from_secs(2);
/// Over which time it is counted how busy a container keeps the processor, and how far apart what is remembered of it is.
const PROCESSOR: Duration = Duration::from_secs(30 * 60);
const PROCESSOR_STEP: Duration = Duration::from_secs(60);

/// The processor time of containers by their id: what they had used when since they were started, ns, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Processor(Mutex<HashMap<String, VecDeque<(Timestamp, u64)>>>);

impl Processor {
    /// How busy the container `id` has kept the processor lately, which runs since `started`.
    pub(super) async fn of(&self, docker: &bollard::Docker, id: &str, started: Timestamp) -> Option<ProcessorTime> {
        let options = StatsOptions { stream: false, one_shot: true };
        let mut figures = Box::pin(docker.stats(id, Some(options)));
        let figures = timeout(FIGURES_TIMEOUT, figures.next()).await.ok()??.ok()?;
        // The engine's own clock, as the start is.
        let now: Timestamp = figures.read?.parse().ok()?;
        let used = figures.cpu_stats?.cpu_usage?.total_usage?;
        let mut seen = self.0.lock().ok()?;
        Some(lately(seen.entry(id.to_owned()).or_default(), started, now, used))
    }

    /// Forgets the containers that are not there any more.
    pub(super) fn forget(&self, is_there: impl Fn(&str) -> bool) {
        if let Ok(mut seen) = self.0.lock() {
            seen.retain(|id, _| is_there(id));
        }
    }
}

/// The processor time of a container that runs since `started` and had `used` so many ns by `now`, over the last [`PROCESSOR`];
/// adds that to what was `seen` of it.
fn lately(seen: &mut VecDeque<(Timestamp, u64)>, started: Timestamp, now: Timestamp, used: u64) -> ProcessorTime {
    let is_older = |(at, before): &(Timestamp, u64)| *at < started || *before > used;
    // It was started again, and counts anew.
    if seen.is_empty() || seen.iter().any(is_older) {
        seen.clear();
        seen.push_back((started, 0));
    }
    let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).unwrap_or_default();
    if seen.back().is_some_and(|(at, _)| since(*at) >= PROCESSOR_STEP) {
        seen.push_back((now, used));
    }
    while seen.get(1).is_some_and(|(at, _)| since(*at) >= PROCESSOR) {
        seen.pop_front();
    }
    let (first, before) = seen.front().copied().unwrap_or((started, 0));
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    ProcessorTime { used_ms: ms(Duration::from_nanos(used.saturating_sub(before))), of_ms: ms(since(first)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_last_half_hour() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let mut seen = VecDeque::new();
        let mut over = |started, minute, used_s: u64| {
            let time = lately(&mut seen, at(started), at(minute), used_s * 1_000_000_000);
            (time.used_ms / 1000, time.of_ms / 60_000)
        };
        // Nobody looked before: what it used since its start.
        assert_eq!(over(0, 100, 6_000), (6_000, 100));
        assert_eq!(over(0, 110, 6_000), (6_000, 110));
        assert_eq!(over(0, 129, 6_900), (6_900, 129));
        // From then on what was seen half an hour ago, or a little earlier.
        assert_eq!(over(0, 131, 7_020), (1_020, 31));
        assert_eq!(over(0, 139, 7_500), (1_500, 39));
        assert_eq!(over(0, 140, 7_560), (1_560, 30));
        // Started again.
        assert_eq!(over(150, 160, 60), (60, 10));
        assert_eq!(over(150, 150, 0), (0, 0));
    }
}
