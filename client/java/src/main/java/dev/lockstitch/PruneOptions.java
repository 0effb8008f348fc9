package dev.lockstitch;

import dev.lockstitch.v1.PruneSessionsRequest;

/**
 * How to delete old checkpoints. Immutable: {@code
 * PruneOptions.NONE.retention(Retention.last(10)).dryRun()}.
 */
public final class PruneOptions {
  /** By the policy of each session, or the server's. */
  public static final PruneOptions NONE =
      new PruneOptions(PruneSessionsRequest.getDefaultInstance());

  final PruneSessionsRequest request;

  private PruneOptions(PruneSessionsRequest request) {
    this.request = request;
  }

  /** By this policy. */
  public PruneOptions retention(Retention policy) {
    return new PruneOptions(request.toBuilder().setRetention(policy.message()).build());
  }

  /** Counts what would be deleted, and deletes nothing. */
  public PruneOptions dryRun() {
    return new PruneOptions(request.toBuilder().setDryRun(true).build());
  }
}
