package dev.lockstitch;

import io.grpc.Status.Code;
import java.time.Duration;

/** The time that a call has, retries included, and the trace that it is a part of. */
final class Budget {
  private final long nanos;
  private final long end;
  final java.util.Map<String, String> trace = Tracing.current();

  Budget(Duration timeout) {
    checked(timeout);
    long most = Long.MAX_VALUE / 4;
    boolean endless = timeout.compareTo(Duration.ofNanos(most)) > 0;
    nanos = endless ? most : timeout.toNanos();
    end = System.nanoTime() + nanos;
  }

  /**
   * The timeout itself.
   *
   * @throws IllegalArgumentException if it is not above 0
   */
  static Duration checked(Duration timeout) {
    if (timeout.isNegative() || timeout.isZero()) {
      throw new IllegalArgumentException("timeout " + timeout + " must be above 0");
    }
    return timeout;
  }

  /** Nanoseconds that are left; 0 and above. */
  long remaining() {
    return Math.max(0, end - System.nanoTime());
  }

  /** A call that runs out of time suspects a connection over which nothing came for this long. */
  long suspiciousNanos() {
    return nanos / 2;
  }

  /** {@code why}: what the call was waiting for. */
  static LockstitchException outOfTime(String why) {
    return Errors.of(Code.DEADLINE_EXCEEDED, "no answer in time: " + why, null);
  }

  /** {@code fault}: what went wrong before, or null. */
  static LockstitchException outOfTime(LockstitchException fault) {
    String told = fault == null ? "" : " (" + fault.getMessage() + ")";
    return Errors.of(Code.DEADLINE_EXCEEDED, "no answer in time" + told, fault);
  }
}
