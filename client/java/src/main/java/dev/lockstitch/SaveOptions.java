package dev.lockstitch;

import dev.lockstitch.v1.ExpectedLatest;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.SaveRequest;
import java.time.Duration;
import java.util.List;

/**
 * What goes with a checkpoint. Immutable: {@code SaveOptions.NONE.expectStep(3).withLease(token)}.
 */
public final class SaveOptions {
  /** Nothing. */
  public static final SaveOptions NONE = new SaveOptions(SaveRequest.getDefaultInstance(), null);

  final SaveRequest conditions;
  final Duration timeout;

  private SaveOptions(SaveRequest conditions, Duration timeout) {
    this.conditions = conditions;
    this.timeout = timeout;
  }

  /** The latest checkpoint of (session, namespace) must have this id before the save. */
  public SaveOptions expectCheckpoint(String checkpointId) {
    return expecting(ExpectedLatest.newBuilder().setCheckpointId(checkpointId));
  }

  /**
   * As {@link #expectCheckpoint(String)}, and it must have been written in this revision. Without
   * it, a checkpoint that was deleted and saved again under the same id is the expected one, too.
   *
   * @param revision {@link Saved#revision}, or {@link Latest#checkpointRevision} of a load
   */
  public SaveOptions expectCheckpoint(String checkpointId, long revision) {
    return expecting(
        ExpectedLatest.newBuilder().setCheckpointId(checkpointId).setRevision(revision));
  }

  /** The latest checkpoint of (session, namespace) must have this step before the save. */
  public SaveOptions expectStep(long step) {
    return expecting(ExpectedLatest.newBuilder().setStep(step));
  }

  /** There must be no checkpoint yet. */
  public SaveOptions expectNone() {
    return expecting(ExpectedLatest.newBuilder().setNone(true));
  }

  /** Pending writes of this checkpoint, stored with it. */
  public SaveOptions withWrites(List<PendingWrite> writes) {
    return with(conditions.toBuilder().clearWrites().addAllWrites(writes));
  }

  /** The session ends this long after its last save, 1 second or more. */
  public SaveOptions withTtl(Duration ttl) {
    return with(conditions.toBuilder().setTtl(Values.duration(ttl)));
  }

  /** Fencing token of the lease under which the caller writes. */
  public SaveOptions withLease(long token) {
    return with(conditions.toBuilder().setLeaseToken(token));
  }

  /** How long this save may take, retries included; by default the client's timeout. */
  public SaveOptions withTimeout(Duration timeout) {
    return new SaveOptions(conditions, timeout);
  }

  private SaveOptions expecting(ExpectedLatest.Builder expected) {
    return with(conditions.toBuilder().setExpectedLatest(expected));
  }

  private SaveOptions with(SaveRequest.Builder changed) {
    return new SaveOptions(changed.build(), timeout);
  }
}
