package dev.lockstitch;

/** The delta's base has been replaced since. */
public class BaseChangedException extends DeltaRefusedException {
  BaseChangedException(ErrorDetails details) {
    super(details);
  }
}
