//! How often what is asked of a GPU.

use std::time::Duration;

/// The least time between two questions of the same kind (`gpu.md` §5.3). What changes all the time is asked at each look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The driver's samples and why clocks are down: this often also while nobody looks, since the driver keeps samples for
    /// some 14 s only (`gpu.md` §5.2).
    pub samples: Duration,
    /// Processes, the link, and what encodes and decodes.
    pub users: Duration,
    /// Limits, thresholds and modes.
    pub limits: Duration,
    /// What a GPU does not support.
    pub unsupported: Duration,
    /// A look that takes longer than this doubles all of the above, and one that takes less than half halves them again.
    pub slow: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            samples: Duration::from_secs(10),
            users: Duration::from_secs(30),
            limits: Duration::from_secs(300),
            unsupported: Duration::from_secs(24 * 3600),
            slow: Duration::from_millis(50),
        }
    }
}

impl Schedule {
    /// Everything at each look, however long that takes.
    pub const EACH_LOOK: Self = Self {
        samples: Duration::from_secs(10),
        users: Duration::ZERO,
        limits: Duration::ZERO,
        unsupported: Duration::from_secs(24 * 3600),
        slow: Duration::MAX,
    };
}

/// How many times slower than the schedule says, for a driver that takes its time.
#[derive(Debug)]
pub(super) struct Pace(u32);

impl Pace {
    /// The slowest.
    const MOST: u32 = 8;

    pub(super) fn new() -> Self {
        Self(1)
    }

    /// Whether the driver gets more time than the schedule says.
    pub(super) fn is_slowed(&self) -> bool {
        self.0 > 1
    }

    pub(super) fn of(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.0)
    }

    /// Takes note of a look that took `took`.
    pub(super) fn note(&mut self, took: Duration, schedule: &Schedule) {
        if took > schedule.slow {
            self.0 = (self.0 * 2).min(Self::MOST);
        } else if took < schedule.slow / 2 {
            self.0 = (self.0 / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_driver_is_asked_less_often_until_it_is_quick_again() {
        let (schedule, mut pace) = (Schedule::default(), Pace::new());
        let ms = Duration::from_millis;
        let mut after = |took| {
            pace.note(ms(took), &schedule);
            pace.of(schedule.users).as_secs()
        };
        assert_eq!([10, 51, 60, 70, 80, 30].map(&mut after), [30, 60, 120, 240, 240, 240]);
        assert_eq!([24, 24, 24, 24].map(&mut after), [120, 60, 30, 30]);
    }
}
