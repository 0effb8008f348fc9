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

  /** The number of sessions that a call visits, if none are named. */
  public PruneOptions pageSize(int sessions) {
    return new PruneOptions(request.toBuilder().setPageSize(sessions).build());
  }

  /** Counts what would be deleted, and deletes nothing. */
  public PruneOptions dryRun() {
    return new PruneOptions(request.toBuilder().setDryRun(true).build());
  }
}
