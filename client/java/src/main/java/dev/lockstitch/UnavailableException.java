package dev.lockstitch;

/** The server or its database is away. The client has retried; retrying later is safe. */
public class UnavailableException extends LockstitchException {
  UnavailableException(ErrorDetails details) {
    super(details);
  }
}
