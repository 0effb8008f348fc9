//! How long calls may take, and when they are repeated.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

const JITTER: f64 = 0.2;
/// Longer times make clocks overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// With less time than this no further attempt is made.
const LAST_ATTEMPT: Duration = Duration::from_millis(20);

/// How calls are retried until their deadline: calls that end with UNAVAILABLE, that a stopping server resets, or that
/// exceed a rate limit.
///
/// All calls are safe to retry: a retry does not do the work twice.
///
/// ```
/// use std::time::Duration;
/// let policy = lockstitch::RetryPolicy::default().max_backoff(Duration::from_secs(1));
/// assert_eq!(policy.initial_backoff, Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct RetryPolicy {
    /// The first pause between attempts; 100 ms by default. Pauses vary by up to 20 % at random.
    pub initial_backoff: Duration,
    /// The longest pause; 2 seconds by default.
    pub max_backoff: Duration,
    /// The ratio of a pause to the one before; 3 by default.
    pub multiplier: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { initial_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), multiplier: 3.0 }
    }
}

impl RetryPolicy {
    /// Set the first pause; more than 0.
    pub fn initial_backoff(self, pause: Duration) -> Self {
        Self { initial_backoff: pause, ..self }
    }

    /// Set the longest pause; not below the first.
    pub fn max_backoff(self, pause: Duration) -> Self {
        Self { max_backoff: pause, ..self }
    }

    /// Set the ratio of a pause to the one before; 1 or more.
    pub fn multiplier(self, multiplier: f64) -> Self {
        Self { multiplier, ..self }
    }

    /// Fails where a setting makes no sense.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |problem: String| Err(Error::invalid(format!("retry: {problem}")));
        if self.initial_backoff.is_zero() {
            return refuse(
                "initial_backoff is 0; the server would be called without a pause: set 1 ms or more".to_owned(),
            );
        }
        if self.max_backoff < self.initial_backoff {
            let Self { initial_backoff, max_backoff, .. } = self;
            return refuse(format!(
                "max_backoff is {max_backoff:?}, below initial_backoff, {initial_backoff:?}: raise it"
            ));
        }
        if !(self.multiplier >= 1.0 && self.multiplier.is_finite()) {
            return refuse(format!("multiplier is {}; set a number of 1 or more", self.multiplier));
        }
        Ok(())
    }

    /// How long to wait before the next attempt, after this number of failures and this last error. None: there is no
    /// time for one.
    ///
    /// A pause that would last beyond the deadline is shortened, so that attempts go on until the deadline is near. One
    /// that the server asks for is not.
    pub(crate) fn wait(&self, failures: u32, error: &Error, deadline: Deadline) -> Option<Duration> {
        let left = deadline.remaining();
        let told = error.retry_after().unwrap_or_default();
        if told >= left || left < LAST_ATTEMPT {
            return None;
        }
        Some(self.pause(failures).min(left.mul_f64(0.75)).max(told))
    }

    /// How long to wait after a number of failures in a row, 1 and above.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let grown = self.initial_backoff.as_secs_f64() * self.multiplier.powi(failures.clamp(1, 100) as i32 - 1);
        let seconds = grown.min(self.max_backoff.as_secs_f64()).min(LONGEST.as_secs_f64());
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
        let timeout = timeout.min(LONGEST);
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
        match policy.wait(self.failures, &error, self.deadline) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => {
                // Where the server itself says that no attempt can succeed in time, there is nothing to wait for.
                if error.retry_after().unwrap_or_default() < self.deadline.remaining() {
                    tokio::time::sleep_until(self.deadline.at).await;
                }
                Err(error)
            }
        }
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

    #[tokio::test(start_paused = true)]
    async fn attempts_go_on_until_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(5));
        let mut attempts = Attempts::new(Some(RetryPolicy::default()), deadline);
        let mut made = 0;
        while attempts.pause(Error::new(tonic::Code::Unavailable, "away")).await.is_ok() {
            made += 1;
            assert!(made < 30);
        }
        assert!(deadline.remaining().is_zero());
        assert!(made > 5);
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        let policy = RetryPolicy::default();
        for (policy, said) in [
            (RetryPolicy { initial_backoff: zero, ..policy }, "initial_backoff is 0"),
            (RetryPolicy { initial_backoff: 3 * second, max_backoff: second, ..policy }, "max_backoff is 1s"),
            (RetryPolicy { multiplier: 0.5, ..policy }, "multiplier is 0.5"),
            (RetryPolicy { multiplier: f64::NAN, ..policy }, "multiplier is NaN"),
            (RetryPolicy { multiplier: f64::INFINITY, ..policy }, "multiplier is inf"),
        ] {
            assert!(policy.check().unwrap_err().message().contains(said));
        }
        policy.check().unwrap();
    }
}
