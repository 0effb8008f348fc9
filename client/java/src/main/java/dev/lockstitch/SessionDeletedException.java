package dev.lockstitch;

/** The session was deleted, and cannot be created again yet. */
public class SessionDeletedException extends FailedPreconditionException {
  SessionDeletedException(ErrorDetails details) {
    super(details);
  }
}
