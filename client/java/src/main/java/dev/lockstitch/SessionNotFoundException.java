package dev.lockstitch;

/** No such session. */
public class SessionNotFoundException extends NotFoundException {
  SessionNotFoundException(ErrorDetails details) {
    super(details);
  }
}
