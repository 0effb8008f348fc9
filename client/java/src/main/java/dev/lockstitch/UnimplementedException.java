package dev.lockstitch;

/** The server is older than this library, or not a Lockstitch server. */
public class UnimplementedException extends LockstitchException {
  UnimplementedException(ErrorDetails details) {
    super(details);
  }
}
