package dev.lockstitch;

/** A fault of the server, whose log tells more. */
public class InternalException extends LockstitchException {
  InternalException(ErrorDetails details) {
    super(details);
  }
}
