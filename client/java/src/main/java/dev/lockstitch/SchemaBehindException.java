package dev.lockstitch;

/** The database's schema is older than the server needs. */
public class SchemaBehindException extends FailedPreconditionException {
  SchemaBehindException(ErrorDetails details) {
    super(details);
  }
}
