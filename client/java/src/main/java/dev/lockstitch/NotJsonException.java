package dev.lockstitch;

/** A field that must hold JSON text does not. */
public class NotJsonException extends InvalidArgumentException {
  NotJsonException(ErrorDetails details) {
    super(details);
  }
}
