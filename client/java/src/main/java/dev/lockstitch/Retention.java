package dev.lockstitch;

import dev.lockstitch.v1.RetentionPolicy;
import java.time.Duration;
import java.util.Optional;

/**
 * Which checkpoints of a session stay. The latest of every namespace always does.
 *
 * <pre>
 * {@code client.pruneSessions(List.of("order-42"), PruneOptions.NONE.retention(Retention.last(10)));}
 * </pre>
 *
 * @param keepLast how many of the greatest ids of each namespace stay; 0: no such rule
 * @param maxAge checkpoints that were saved within this time stay; empty: no such rule
 */
public record Retention(int keepLast, Optional<Duration> maxAge) {
  /** The newest checkpoints of each namespace stay. */
  public static Retention last(int checkpoints) {
    return new Retention(checkpoints, Optional.empty());
  }

  /** Checkpoints that were saved within this time stay. */
  public static Retention within(Duration age) {
    return new Retention(0, Optional.of(age));
  }

  RetentionPolicy message() {
    RetentionPolicy.Builder policy = RetentionPolicy.newBuilder().setKeepLast(keepLast);
    maxAge.map(Values::duration).ifPresent(policy::setMaxAge);
    return policy.build();
  }
}
