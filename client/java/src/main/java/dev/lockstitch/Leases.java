package dev.lockstitch;

import java.time.Duration;
import java.util.function.Supplier;

/** Waits for leases that others hold. */
final class Leases {
  /** How often to ask for a lease that another holds. */
  private static final Duration POLL = Duration.ofMillis(500);

  private Leases() {}

  /**
   * The lease, which {@code acquire} asks for until {@code wait} is over.
   *
   * @throws LeaseHeldException after that
   */
  static Lease await(Supplier<Lease> acquire, Duration wait) {
    long end = System.nanoTime() + wait.toNanos();
    while (true) {
      try {
        return acquire.get();
      } catch (LeaseHeldException error) {
        if (System.nanoTime() + POLL.toNanos() - end > 0) {
          throw error;
        }
        Caller.sleep(POLL.toNanos());
      }
    }
  }
}
