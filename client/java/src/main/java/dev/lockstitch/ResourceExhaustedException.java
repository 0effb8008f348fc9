package dev.lockstitch;

/** More than the server takes. */
public class ResourceExhaustedException extends LockstitchException {
  ResourceExhaustedException(ErrorDetails details) {
    super(details);
  }
}
