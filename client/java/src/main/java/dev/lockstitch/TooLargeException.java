package dev.lockstitch;

/** The request, or the state that it would make, is larger than the server takes. */
public class TooLargeException extends ResourceExhaustedException {
  TooLargeException(ErrorDetails details) {
    super(details);
  }
}
