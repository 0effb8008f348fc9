package dev.lockstitch;

/** The server's database cannot be reached or does not answer. */
public class StoreUnavailableException extends UnavailableException {
  StoreUnavailableException(ErrorDetails details) {
    super(details);
  }
}
