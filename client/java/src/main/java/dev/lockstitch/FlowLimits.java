package dev.lockstitch;

/**
 * How many saves of a client may be in flight at once. Further saves wait for room, first come,
 * first served, within their timeout. One save is always allowed, whatever its size.
 *
 * @param saves the maximum number of saves in flight, 1 or more
 * @param bytes the maximum size of their checkpoints together in bytes, 1 or more
 */
public record FlowLimits(int saves, long bytes) {
  /** 1024 saves and 32 MiB. */
  public static final FlowLimits DEFAULT = new FlowLimits(1024, 32L << 20);

  public FlowLimits {
    if (saves < 1 || bytes < 1) {
      throw new IllegalArgumentException(
          "saves is " + saves + " and bytes is " + bytes + ": both must be 1 or more");
    }
  }
}
