package dev.lockstitch;

/** The delta's base does not exist. */
public class UnknownBaseException extends DeltaRefusedException {
  UnknownBaseException(ErrorDetails details) {
    super(details);
  }
}
