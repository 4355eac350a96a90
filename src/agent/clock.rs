//! The time, as a value that is handed over: tests and the simulated device move it with tokio's.

use jiff::Timestamp;
use tokio::time::Instant;

/// A clock that was set once and runs with tokio's time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    set_to: Timestamp,
    at: Instant,
}

impl Clock {
    /// A clock that shows `now` now.
    pub fn set_to(now: Timestamp) -> Self {
        Self { set_to: now, at: Instant::now() }
    }

    /// The system's time.
    #[expect(clippy::disallowed_methods, reason = "the one place where the long-lived module asks for the time")]
    pub fn system() -> Self {
        Self::set_to(Timestamp::now())
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.set_to.saturating_add(self.at.elapsed()).unwrap_or(self.set_to)
    }
}
