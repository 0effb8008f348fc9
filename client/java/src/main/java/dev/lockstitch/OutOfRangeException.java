package dev.lockstitch;

/** What was asked for has gone by. */
public class OutOfRangeException extends LockstitchException {
  OutOfRangeException(ErrorDetails details) {
    super(details);
  }
}
