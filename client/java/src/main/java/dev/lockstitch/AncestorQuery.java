package dev.lockstitch;

import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.WalkAncestorsRequest;
import java.util.List;

/**
 * Which ancestors to load, and how much of each. Immutable: {@code
 * AncestorQuery.of("order-42").limit(10).headers()}.
 */
public final class AncestorQuery {
  final WalkAncestorsRequest request;

  private AncestorQuery(WalkAncestorsRequest request) {
    this.request = request;
  }

  /** The ancestors of the latest checkpoint in the root namespace of a session. */
  public static AncestorQuery of(String sessionId) {
    return with(WalkAncestorsRequest.newBuilder().setSessionId(sessionId));
  }

  /** In this namespace; "" is the root namespace. */
  public AncestorQuery namespace(String name) {
    return with(builder().setNamespace(name));
  }

  /** The ancestors of this checkpoint; "" is the latest. */
  public AncestorQuery from(String checkpointId) {
    return with(builder().setCheckpointId(checkpointId));
  }

  /** At most this many ancestors; 0: all of them. */
  public AncestorQuery limit(int ancestors) {
    return with(builder().setLimit(ancestors));
  }

  /** Without the states, which need not be read then. */
  public AncestorQuery headers() {
    return with(builder().setView(CheckpointView.CHECKPOINT_VIEW_HEADER));
  }

  /**
   * Only these parts of the states: "messages", "errors", "extra/" and a key, or "custom/" and a
   * name. None named: all of them.
   */
  public AncestorQuery channels(List<String> names) {
    return with(builder().clearChannels().addAllChannels(names));
  }

  /** With the pending writes of each checkpoint. */
  public AncestorQuery writes() {
    return with(builder().setIncludeWrites(true));
  }

  /** With the pending writes to these channels. */
  public AncestorQuery writes(List<String> channels) {
    return with(
        builder().setIncludeWrites(true).clearWriteChannels().addAllWriteChannels(channels));
  }

  private WalkAncestorsRequest.Builder builder() {
    return request.toBuilder();
  }

  private static AncestorQuery with(WalkAncestorsRequest.Builder changed) {
    return new AncestorQuery(changed.build());
  }
}
