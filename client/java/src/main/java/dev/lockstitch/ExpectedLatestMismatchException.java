package dev.lockstitch;

import java.util.Optional;
import java.util.OptionalLong;

/** The latest checkpoint is not the expected one. Load it and decide again. */
public class ExpectedLatestMismatchException extends AbortedException {
  ExpectedLatestMismatchException(ErrorDetails details) {
    super(details);
  }

  /** Id of the latest checkpoint; empty where there is none. */
  public Optional<String> latestCheckpointId() {
    return Optional.ofNullable(metadata().get("latest_checkpoint_id"));
  }

  /** Step of the latest checkpoint; empty where there is none. */
  public OptionalLong latestStep() {
    String step = metadata().get("latest_step");
    return step == null ? OptionalLong.empty() : OptionalLong.of(Long.parseUnsignedLong(step));
  }
}
