package dev.lockstitch;

/** Somebody else was faster, or may write where this caller may not. Nothing was written. */
public class AbortedException extends LockstitchException {
  AbortedException(ErrorDetails details) {
    super(details);
  }
}
