//! How patient a session is.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// The times of a session. The defaults are those for a real edgeHub; tests hurry.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The pause after the first failure, and the longest one after many. Each is drawn between half and all of it, so
    /// that modules that start together do not come together.
    pub pause: (Duration, Duration),
    /// How long a TCP connection may take.
    pub dial: Duration,
    /// How long all of a connection may take up to CONNACK: edgeHub can block for 100 s for a new module
    /// (`iotedge-protocol.md` §B1).
    pub connect: Duration,
    /// How long a request waits for a connection.
    pub patience: Duration,
    /// How long an answer or an acknowledgement may take. edgeHub asks the cloud first (§B5).
    pub request: Duration,
    /// How long a token lives; a new connection with a new one is made after 80 to 85 % of it (§A3).
    pub token: Duration,
    /// The pause before the twin is asked for again where edgeHub does not know it or does not answer.
    pub twin: Duration,
    /// How long requests under way may take when the session ends or renews its token.
    pub drain: Duration,
}

/// Pauses between tries that fail, one after the other: doubled each time up to the longest, each drawn between half and
/// all of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    pause: (Duration, Duration),
    failures: u32,
}

impl Backoff {
    /// The pause after the first failure, and the longest one.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { pause: (first, longest), failures: 0 }
    }

    /// Another try failed: how long to wait.
    pub fn failed(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pause_after(self.pause, self.failures)
    }

    /// A try went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: (Duration::from_secs(1), Duration::from_secs(60)),
            dial: Duration::from_secs(10),
            connect: Duration::from_secs(120),
            patience: Duration::from_secs(5),
            request: Duration::from_secs(60),
            token: Duration::from_secs(60 * 60),
            twin: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

impl Pace {
    /// The pause after `failures` in a row.
    pub(super) fn pause_after(&self, failures: u32) -> Duration {
        pause_after(self.pause, failures)
    }

    /// When the token is to be renewed, from when it was signed.
    pub(super) fn renewal(&self) -> Duration {
        self.token.mul_f64(0.8 + 0.05 * chance())
    }
}

fn pause_after((first, longest): (Duration, Duration), failures: u32) -> Duration {
    let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    pause.mul_f64(0.5 + 0.5 * chance())
}

/// A number from 0 to 1.
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, and nothing worse.
    let _ = SystemRandom::new().fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_vary() {
        let pace = Pace::default();
        for (failures, seconds) in [(1, 1.0), (2, 2.0), (6, 32.0), (7, 60.0), (u32::MAX, 60.0)] {
            let pauses: Vec<f64> = (0..50).map(|_| pace.pause_after(failures).as_secs_f64()).collect();
            assert!(pauses.iter().all(|pause| (seconds / 2.0..=seconds).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|pause| (pause - pauses[0]).abs() > f64::EPSILON));
        }
    }

    #[test]
    fn a_token_is_renewed_well_before_it_expires() {
        let pace = Pace::default();
        assert!((0..50).all(|_| (2_880.0..=3_060.0).contains(&pace.renewal().as_secs_f64())));
    }
}
