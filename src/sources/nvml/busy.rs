//! What the driver's samples of use add up to. A sample says how busy the GPU was since the one before it.

use std::time::Duration;

/// A gap between two samples that is longer is no time that the second one speaks of: the driver's ring lost some, or the GPU
/// was idle and had none (`gpu.md` §5.2).
pub(super) const GAP: Duration = Duration::from_secs(2);

/// The use of one engine of a GPU over time.
#[derive(Debug, Default)]
pub(super) struct Busy {
    /// Timestamp of the newest sample, µs in the driver's own time.
    pub(super) last: Option<u64>,
    /// Since the start.
    total: Sum,
    /// Since the last window was taken.
    window: Sum,
}

/// Use over some time.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    /// Seconds in which it was busy.
    busy: f64,
    /// Seconds that are known of.
    covered: f64,
    /// Shares of samples, added up; how many; the largest.
    shares: f64,
    samples: u32,
    max: f64,
}

/// Use between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// Mean share of time.
    pub(super) mean: f64,
    /// The largest sample.
    pub(super) max: f64,
    /// Seconds in which it was busy, and that are known of; none where a single point is all that there is.
    pub(super) seconds: Option<(f64, f64)>,
}

impl Busy {
    /// Adds samples: timestamps in µs, and shares of 0 to 1.
    pub(super) fn add(&mut self, samples: &[(u64, f64)]) {
        let mut samples = samples.to_vec();
        samples.retain(|(at, _)| *at > self.last.unwrap_or(0));
        samples.sort_by_key(|(at, _)| *at);
        for (at, share) in samples {
            let since = self.last.map(|last| Duration::from_micros(at - last)).filter(|since| *since < GAP);
            self.put(share, since.unwrap_or_default());
            self.last = Some(at);
        }
    }

    /// Adds what one point says of the time `since` the last round, in which the driver had no samples.
    pub(super) fn add_point(&mut self, share: f64, since: Duration) {
        self.put(share, since);
    }

    fn put(&mut self, share: f64, since: Duration) {
        for sum in [&mut self.total, &mut self.window] {
            sum.busy += share * since.as_secs_f64();
            sum.covered += since.as_secs_f64();
            sum.shares += share;
            sum.samples += 1;
            sum.max = sum.max.max(share);
        }
    }

    /// What came together since the last time, and begins anew.
    pub(super) fn take(&mut self) -> Option<Window> {
        let sum = std::mem::take(&mut self.window);
        if sum.samples == 0 {
            return None;
        }
        let seconds = (sum.covered > 0.0).then_some((sum.busy, sum.covered));
        let mean = seconds.map_or(sum.shares / f64::from(sum.samples), |(busy, covered)| busy / covered);
        Some(Window { mean, max: sum.max, seconds })
    }

    /// Seconds in which it was busy and that are known of, since the start.
    pub(super) fn total(&self) -> (f64, f64) {
        (self.total.busy, self.total.covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_count_for_their_time_and_once() {
        let mut busy = Busy::default();
        busy.add(&[(1_000_000, 0.0), (2_000_000, 1.0), (2_500_000, 0.5)]);
        // Seen again, and out of order.
        busy.add(&[(3_500_000, 0.25), (2_500_000, 0.5)]);
        let window = busy.take().unwrap();
        assert_eq!(window.seconds, Some((1.5, 2.5)));
        assert!((window.mean - 0.6).abs() < 1e-9 && (window.max - 1.0).abs() < 1e-9, "{window:?}");
        assert_eq!(busy.take(), None);
        // What the ring lost in between is nobody's time.
        busy.add(&[(60_000_000, 1.0), (61_000_000, 0.0)]);
        assert_eq!(busy.take().unwrap().seconds, Some((0.0, 1.0)));
        assert_eq!(busy.total(), (1.5, 3.5));
    }

    #[test]
    fn a_point_stands_for_the_time_without_samples() {
        let mut busy = Busy::default();
        busy.add_point(0.5, Duration::ZERO);
        assert_eq!(busy.take(), Some(Window { mean: 0.5, max: 0.5, seconds: None }));
        busy.add_point(0.5, Duration::from_secs(4));
        assert_eq!(busy.take(), Some(Window { mean: 0.5, max: 0.5, seconds: Some((2.0, 4.0)) }));
    }
}
