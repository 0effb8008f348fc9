package dev.lockstitch;

import com.google.protobuf.ByteString;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * A checkpoint as a list shows it.
 *
 * @param checkpoint the checkpoint
 * @param pendingWrites its pending writes; empty unless asked for
 * @param revision the session's revision in which its content was written, read as unsigned
 * @param savedAt the server's time of that save
 * @param stateBytes the size of the state as stored, in bytes
 * @param traceId the trace of the call that wrote it, 32 hexadecimal digits; empty: not traced
 * @param channels the size of each channel; empty unless asked for
 */
public record ListedCheckpoint(
    Checkpoint checkpoint,
    List<PendingWrite> pendingWrites,
    long revision,
    Instant savedAt,
    long stateBytes,
    Optional<String> traceId,
    List<ChannelSize> channels) {
  /**
   * The size of a channel of a state.
   *
   * @param channel "messages", "errors", "extra/" and a key, or "custom/" and a name
   * @param bytes the size of its content, in bytes, before compression
   * @param fingerprint equal fingerprints of two checkpoints of a session mean equal content
   */
  public record ChannelSize(String channel, long bytes, ByteString fingerprint) {}
}
