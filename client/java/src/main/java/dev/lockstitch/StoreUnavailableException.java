package dev.lockstitch;

/**
 * The server's database cannot be reached, is full ({@code STORE_FULL}) or read-only ({@code
 * STORE_READ_ONLY}).
 */
public class StoreUnavailableException extends UnavailableException {
  StoreUnavailableException(ErrorDetails details) {
    super(details);
  }
}
