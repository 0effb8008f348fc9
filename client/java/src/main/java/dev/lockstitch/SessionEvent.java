package dev.lockstitch;

import java.time.Instant;
import java.util.Optional;

/**
 * An event of a session that is watched.
 *
 * <pre>{@code
 * if (event instanceof SessionEvent.CheckpointSaved saved) {
 *   System.out.println(saved.step());
 * }
 * }</pre>
 */
public sealed interface SessionEvent {
  /** A watch that starts with this token continues after this event. */
  String resumeToken();

  /** The session's revision after this event, read as unsigned. */
  long revision();

  /**
   * A checkpoint was saved.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   * @param namespace the checkpoint's namespace; "" is the root namespace
   * @param checkpointId its id
   * @param parentId the id of its parent; "": none
   * @param step its step
   * @param savedAt the server's time of the save
   */
  record CheckpointSaved(
      String resumeToken,
      long revision,
      String namespace,
      String checkpointId,
      String parentId,
      long step,
      Instant savedAt)
      implements SessionEvent {}

  /**
   * Checkpoints were deleted.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   */
  record CheckpointsDeleted(String resumeToken, long revision) implements SessionEvent {}

  /**
   * The session was deleted, or has expired.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   */
  record SessionDeleted(String resumeToken, long revision) implements SessionEvent {}

  /**
   * The session's lease was acquired or has ended.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   * @param lease the live lease, without the token; empty: there is none
   */
  record LeaseChanged(String resumeToken, long revision, Optional<Lease> lease)
      implements SessionEvent {}

  /**
   * Nothing has happened for a while.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   */
  record Heartbeat(String resumeToken, long revision) implements SessionEvent {}

  /**
   * Something that this client does not know: the server is newer.
   *
   * @param resumeToken see {@link SessionEvent#resumeToken}
   * @param revision see {@link SessionEvent#revision}
   */
  record Unknown(String resumeToken, long revision) implements SessionEvent {}
}
