package dev.lockstitch;

/** The server has more work than it takes on. */
public class OverloadedException extends UnavailableException {
  OverloadedException(ErrorDetails details) {
    super(details);
  }
}
