package dev.lockstitch;

/** The caller has not the right to this. */
public class RightMissingException extends PermissionDeniedException {
  RightMissingException(ErrorDetails details) {
    super(details);
  }
}
