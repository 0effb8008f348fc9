package dev.lockstitch;

/** The credentials do not allow this. */
public class PermissionDeniedException extends LockstitchException {
  PermissionDeniedException(ErrorDetails details) {
    super(details);
  }
}
