package dev.lockstitch;

/** The call was cancelled, such as by closing the client, and not by the server. */
public class CancelledException extends LockstitchException {
  CancelledException(ErrorDetails details) {
    super(details);
  }
}
