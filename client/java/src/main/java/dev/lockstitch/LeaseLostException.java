package dev.lockstitch;

/** The lease token is not the one that may write now. */
public class LeaseLostException extends AbortedException {
  LeaseLostException(ErrorDetails details) {
    super(details);
  }
}
