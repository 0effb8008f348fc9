package dev.lockstitch;

/** No such checkpoint. */
public class NotFoundException extends LockstitchException {
  NotFoundException(ErrorDetails details) {
    super(details);
  }
}
