package dev.lockstitch;

/** Another holds the session's lease. */
public class LeaseHeldException extends AbortedException {
  LeaseHeldException(ErrorDetails details) {
    super(details);
  }

  /** Who holds it, in the holder's own words. */
  public String holder() {
    return metadata().getOrDefault("holder", "");
  }
}
