package dev.lockstitch;

import dev.lockstitch.v1.CopySessionRequest;
import java.time.Duration;

/** What a copy gets. Immutable: {@code CopyOptions.ALL.upTo(id).label("kind", "test")}. */
public final class CopyOptions {
  /** All checkpoints, and neither labels nor an expiry. */
  public static final CopyOptions ALL = new CopyOptions(CopySessionRequest.getDefaultInstance());

  final CopySessionRequest request;

  private CopyOptions(CopySessionRequest request) {
    this.request = request;
  }

  /** The session as it was after this checkpoint of the root namespace. */
  public CopyOptions upTo(String checkpointId) {
    return upTo("", checkpointId);
  }

  /** The session as it was after this checkpoint of a namespace. */
  public CopyOptions upTo(String namespace, String checkpointId) {
    return with(
        request.toBuilder().setAt(new CheckpointRef("", namespace, checkpointId).message()));
  }

  /** Gives the copy a label. */
  public CopyOptions label(String key, String value) {
    return with(request.toBuilder().putLabels(key, value));
  }

  /** The copy ends this long after its last change, 1 second or more. */
  public CopyOptions ttl(Duration time) {
    return with(request.toBuilder().setTtl(Values.duration(time)));
  }

  private static CopyOptions with(CopySessionRequest.Builder changed) {
    return new CopyOptions(changed.build());
  }
}
