package dev.lockstitch;

/** The session to make is there already. */
public class AlreadyExistsException extends LockstitchException {
  AlreadyExistsException(ErrorDetails details) {
    super(details);
  }
}
