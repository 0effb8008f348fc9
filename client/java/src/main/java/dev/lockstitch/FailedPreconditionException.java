package dev.lockstitch;

/** The state of the server does not allow the call. */
public class FailedPreconditionException extends LockstitchException {
  FailedPreconditionException(ErrorDetails details) {
    super(details);
  }
}
