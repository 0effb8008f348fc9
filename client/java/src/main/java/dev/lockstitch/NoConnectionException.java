package dev.lockstitch;

/**
 * There is no connection to the server: it is not running, is not at this address, or refuses this
 * connection.
 */
public final class NoConnectionException extends UnavailableException {
  NoConnectionException(ErrorDetails details) {
    super(details);
  }
}
