package dev.lockstitch;

/** No answer in time. A save may have been stored nevertheless; saving the same again is safe. */
public class DeadlineExceededException extends LockstitchException {
  DeadlineExceededException(ErrorDetails details) {
    super(details);
  }
}
