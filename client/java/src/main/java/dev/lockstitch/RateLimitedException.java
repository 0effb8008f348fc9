package dev.lockstitch;

/** The tenant makes more calls than it may. Nothing was done: retrying later is safe. */
public class RateLimitedException extends ResourceExhaustedException {
  RateLimitedException(ErrorDetails details) {
    super(details);
  }
}
