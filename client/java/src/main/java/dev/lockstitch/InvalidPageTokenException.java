package dev.lockstitch;

/** The page token is not one of this list with these filters. */
public class InvalidPageTokenException extends InvalidArgumentException {
  InvalidPageTokenException(ErrorDetails details) {
    super(details);
  }
}
