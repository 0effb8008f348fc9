package dev.lockstitch;

/** The request breaks a rule of the contract: repeating it is in vain. */
public class InvalidArgumentException extends LockstitchException {
  InvalidArgumentException(ErrorDetails details) {
    super(details);
  }

  /** The field that breaks it, such as "checkpoint.session_id"; "" where none is named. */
  public String field() {
    return metadata().getOrDefault("field", "");
  }
}
