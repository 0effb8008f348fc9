package dev.lockstitch;

import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.ListCheckpointsRequest;
import dev.lockstitch.v1.NodeKind;
import java.util.List;

/**
 * Which checkpoints a list has, and how much of each. Immutable: {@code
 * CheckpointFilter.of("order-42").fromStep(10).headers()}.
 */
public final class CheckpointFilter {
  final ListCheckpointsRequest request;

  private CheckpointFilter(ListCheckpointsRequest request) {
    this.request = request;
  }

  /** All checkpoints of a session, in all namespaces; "" is all sessions. */
  public static CheckpointFilter of(String sessionId) {
    return with(ListCheckpointsRequest.newBuilder().setSessionId(sessionId));
  }

  /** Checkpoints of this namespace; "" is the root namespace. */
  public CheckpointFilter namespace(String namespace) {
    return with(builder().setNamespace(namespace));
  }

  /** Checkpoints of this step and later ones. */
  public CheckpointFilter fromStep(long step) {
    return with(builder().setMinStep(step));
  }

  /** Checkpoints of this step and earlier ones. */
  public CheckpointFilter toStep(long step) {
    return with(builder().setMaxStep(step));
  }

  /** Checkpoints of steps in which this node ran. */
  public CheckpointFilter ran(NodeKind node) {
    return with(builder().setRanNode(node));
  }

  /** Checkpoints of steps in which this node was skipped. */
  public CheckpointFilter skipped(NodeKind node) {
    return with(builder().setSkippedNode(node));
  }

  /** Checkpoints whose id is less than this one. */
  public CheckpointFilter before(String checkpointId) {
    return with(builder().setBeforeCheckpointId(checkpointId));
  }

  /** Checkpoints with this metadata; several entries must all match. {@code json}: JSON text. */
  public CheckpointFilter metadata(String key, String json) {
    return with(builder().putMetadata(key, json));
  }

  /** Without the states, which need not be read then. */
  public CheckpointFilter headers() {
    return with(builder().setView(CheckpointView.CHECKPOINT_VIEW_HEADER));
  }

  /** With the pending writes of each checkpoint. */
  public CheckpointFilter writes() {
    return with(builder().setIncludeWrites(true));
  }

  /** With the pending writes to these channels. */
  public CheckpointFilter writes(List<String> channels) {
    return with(
        builder().setIncludeWrites(true).clearWriteChannels().addAllWriteChannels(channels));
  }

  /**
   * Only these parts of the states: "messages", "errors", "extra/" and a key, or "custom/" and a
   * name. None named: all of them.
   */
  public CheckpointFilter channels(List<String> names) {
    return with(builder().clearChannels().addAllChannels(names));
  }

  /** With the size of each channel, in {@link ListedCheckpoint#channels}. */
  public CheckpointFilter channelSizes() {
    return with(builder().setIncludeChannelSizes(true));
  }

  /** With the number of all matches, in {@link Paged.Page#totalSize}. */
  public CheckpointFilter total() {
    return with(builder().setIncludeTotal(true));
  }

  /** Moves damaged checkpoints to {@link Paged.Page#damaged}; without this, the list fails. */
  public CheckpointFilter skipDamaged() {
    return with(builder().setSkipDamaged(true));
  }

  /** The number of checkpoints that a call fetches. */
  public CheckpointFilter pageSize(int checkpoints) {
    return with(builder().setPageSize(checkpoints));
  }

  /** Continues a list after the page that had this token. */
  public CheckpointFilter from(String pageToken) {
    return with(builder().setPageToken(pageToken));
  }

  private ListCheckpointsRequest.Builder builder() {
    return request.toBuilder();
  }

  private static CheckpointFilter with(ListCheckpointsRequest.Builder changed) {
    return new CheckpointFilter(changed.build());
  }
}
