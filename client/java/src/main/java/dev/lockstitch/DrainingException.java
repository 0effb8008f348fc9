package dev.lockstitch;

/** The server is stopping. */
public class DrainingException extends UnavailableException {
  DrainingException(ErrorDetails details) {
    super(details);
  }
}
