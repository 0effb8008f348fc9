package dev.lockstitch;

/**
 * How much a client remembers so that it can send what changed instead of whole states.
 *
 * @param maxEntries of how many sessions (each namespace counts) the last saved state is kept
 * @param maxBytes how many bytes these states may have together; the least recently saved are
 *     forgotten first, and a state larger than all this is not remembered
 */
public record DeltaPolicy(int maxEntries, long maxBytes) {
  /** 1024 sessions and 64 MiB. */
  public static final DeltaPolicy DEFAULT = new DeltaPolicy(1024, 64L << 20);

  public DeltaPolicy {
    if (maxEntries < 1 || maxBytes < 1) {
      throw new IllegalArgumentException("maxEntries and maxBytes must be above 0");
    }
  }
}
