package dev.lockstitch;

/**
 * The server or its database is away, or has reset the call as it stopped. The client has retried;
 * retrying later is safe.
 */
public class UnavailableException extends LockstitchException {
  UnavailableException(ErrorDetails details) {
    super(details);
  }
}
