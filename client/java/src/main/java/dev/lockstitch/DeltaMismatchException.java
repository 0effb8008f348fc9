package dev.lockstitch;

/** The delta does not fit its base, or the server does not know all of it. */
public class DeltaMismatchException extends DeltaRefusedException {
  DeltaMismatchException(ErrorDetails details) {
    super(details);
  }
}
