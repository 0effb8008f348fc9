package dev.lockstitch;

import io.grpc.ManagedChannel;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** The channel that calls use now, and whether anything comes over it. */
final class Link {
  /** A channel is replaced at most this often, so that a busy server is not called constantly. */
  private static final long RENEW_NANOS = TimeUnit.SECONDS.toNanos(3);

  final ManagedChannel channel;

  /** Whether somebody is finding out if anything comes over the channel. */
  final AtomicBoolean probing = new AtomicBoolean();

  private final long opened = System.nanoTime();
  private volatile long heard = opened;

  Link(ManagedChannel channel) {
    this.channel = channel;
  }

  /** A response came. */
  void hear() {
    heard = System.nanoTime();
  }

  /** Whether nothing has come for this long, and the channel is old enough to be replaced. */
  boolean isSilent(long nanos) {
    long now = System.nanoTime();
    return now - heard >= nanos && now - opened >= Math.min(nanos, RENEW_NANOS);
  }
}
