package dev.lockstitch;

/** Credentials are missing or wrong. */
public class UnauthenticatedException extends LockstitchException {
  UnauthenticatedException(ErrorDetails details) {
    super(details);
  }
}
