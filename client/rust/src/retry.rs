//! How long calls may take, and when they are repeated.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

const JITTER: f64 = 0.2;

/// How calls are repeated that ended with UNAVAILABLE, that a stopping server has reset, or of which there were too many,
/// until their deadline.
///
/// Every call of the contract can be repeated without doing its work twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The first wait between attempts, give or take 20 %.
    pub initial_backoff: Duration,
    /// The longest.
    pub max_backoff: Duration,
    /// How much longer each wait is than the one before.
    pub multiplier: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), multiplier: 3.0 }
    }
}

impl RetryPolicy {
    /// How long to wait after so many failures in a row, 1 and above.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let grown = self.initial_backoff.as_secs_f64() * self.multiplier.powi(failures.clamp(1, 100) as i32 - 1);
        let seconds = grown.min(self.max_backoff.as_secs_f64());
        Duration::from_secs_f64(seconds * (1.0 - JITTER + 2.0 * JITTER * fastrand::f64()))
    }
}

/// The moment at which a flow of calls has to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) timeout: Duration,
    pub(crate) at: Instant,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        let timeout = timeout.min(Duration::from_secs(365 * 86_400)); // clocks overflow
        Self { timeout, at: Instant::now() + timeout }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Counts the failures of one flow, and waits after each.
pub(crate) struct Attempts {
    policy: Option<RetryPolicy>,
    deadline: Deadline,
    failures: u32,
}

impl Attempts {
    pub(crate) fn new(policy: Option<RetryPolicy>, deadline: Deadline) -> Self {
        Self { policy, deadline, failures: 0 }
    }

    /// Return when it is time for another attempt; give the error back where there is to be none.
    pub(crate) async fn pause(&mut self, error: Error) -> Result<(), Error> {
        let Some(policy) = self.policy else { return Err(error) };
        if !error.is_retryable() {
            return Err(error);
        }
        self.failures += 1;
        let wait = policy.pause(self.failures).max(error.retry_after().unwrap_or_default());
        if wait >= self.deadline.remaining() {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_maximum() {
        let policy = RetryPolicy::default();
        for (failures, seconds) in [(1, 0.1), (2, 0.3), (3, 0.9), (4, 2.0), (1_000_000, 2.0)] {
            let pause = policy.pause(failures).as_secs_f64();
            assert!((seconds * 0.8..=seconds * 1.2).contains(&pause), "{failures}: {pause}");
        }
    }
}
