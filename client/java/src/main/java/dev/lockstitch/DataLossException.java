package dev.lockstitch;

/** What is stored fails its checksum or is incomplete. */
public class DataLossException extends LockstitchException {
  DataLossException(ErrorDetails details) {
    super(details);
  }
}
