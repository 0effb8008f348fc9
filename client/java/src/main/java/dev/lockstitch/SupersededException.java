package dev.lockstitch;

/**
 * The checkpoint holds a later save of this client, or another program has replaced this save. Load
 * it.
 */
public class SupersededException extends AbortedException {
  SupersededException(ErrorDetails details) {
    super(details);
  }
}
