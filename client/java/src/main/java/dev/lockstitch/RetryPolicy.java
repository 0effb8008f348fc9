package dev.lockstitch;

import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * How calls are repeated that ended with UNAVAILABLE, that a stopping server has reset, or that
 * came too fast, until their deadline. Every call can be repeated safely. While there is no
 * connection at all, calls wait for one, and go out as soon as there is.
 *
 * @param initialBackoff the first wait between two attempts, give or take 20%
 * @param maxBackoff the longest wait
 * @param multiplier how much longer each wait is than the one before
 */
public record RetryPolicy(Duration initialBackoff, Duration maxBackoff, double multiplier) {
  /** 0.1 s, growing threefold up to 2 s. */
  public static final RetryPolicy DEFAULT =
      new RetryPolicy(Duration.ofMillis(100), Duration.ofSeconds(2), 3);

  private static final double JITTER = 0.2;

  public RetryPolicy {
    if (initialBackoff.isNegative()
        || initialBackoff.isZero()
        || maxBackoff.compareTo(initialBackoff) < 0) {
      throw new IllegalArgumentException(
          "initialBackoff must be above 0, and maxBackoff not below it");
    }
    if (!(multiplier >= 1)) {
      throw new IllegalArgumentException("multiplier must be 1 or more");
    }
  }

  /** Nanoseconds to wait after a number of failures in a row, 1 and above. */
  long backoffNanos(int failures) {
    double grown = initialBackoff.toNanos() * Math.pow(multiplier, Math.min(failures - 1, 100));
    double jitter = ThreadLocalRandom.current().nextDouble(1 - JITTER, 1 + JITTER);
    return (long) (Math.min(grown, maxBackoff.toNanos()) * jitter);
  }

  /** Nanoseconds to wait before a failed call is made again; below 0: it is not. */
  static long pauseNanos(RetryPolicy policy, LockstitchException error, int failures) {
    boolean passing =
        error instanceof UnavailableException || error instanceof RateLimitedException;
    if (policy == null || !passing || error instanceof NoConnectionException) {
      return -1;
    }
    long told = TimeUnit.NANOSECONDS.convert(error.retryDelay()); // 292 years, if it is longer
    return Math.max(policy.backoffNanos(failures), told);
  }
}
