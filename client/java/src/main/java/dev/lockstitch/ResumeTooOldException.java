package dev.lockstitch;

/**
 * What happened since the resume token can no longer be told. Load anew, and watch without a token.
 */
public class ResumeTooOldException extends OutOfRangeException {
  ResumeTooOldException(ErrorDetails details) {
    super(details);
  }
}
