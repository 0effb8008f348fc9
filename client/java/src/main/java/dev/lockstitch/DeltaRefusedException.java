package dev.lockstitch;

/**
 * A delta could not be applied. The client sends the full state then, so callers do not meet this.
 */
public class DeltaRefusedException extends FailedPreconditionException {
  DeltaRefusedException(ErrorDetails details) {
    super(details);
  }
}
