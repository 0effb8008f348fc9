package dev.lockstitch;

/** The call was cancelled, such as by closing the client. */
public class CancelledException extends LockstitchException {
  CancelledException(ErrorDetails details) {
    super(details);
  }
}
