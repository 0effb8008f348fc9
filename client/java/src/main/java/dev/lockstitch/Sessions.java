package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.Scheduler;
import dev.lockstitch.v1.SchedulerState;
import dev.lockstitch.v1.SessionState;
import dev.lockstitch.v1.StepReport;
import java.time.Instant;

/** From a session as a runner holds it to a checkpoint, and back. */
public final class Sessions {
  private Sessions() {}

  /** A checkpoint of a session as it is now; {@code created_at} is now. */
  public static Checkpoint checkpoint(String sessionId, SessionState session) {
    return Checkpoint.newBuilder()
        .setSessionId(sessionId)
        .setStep(session.getStep())
        .setState(session.getState())
        .addAllFrontier(session.getFrontierList())
        .setConcurrencyLimit(session.getScheduler().getConcurrencyLimit())
        .putAllVersionsSeen(session.getSchedulerState().getVersionsSeenMap())
        .setCreatedAt(Values.timestamp(Instant.now()))
        .build();
  }

  /**
   * A checkpoint of a session after a step, with what the step's report says of it. Step and
   * frontier are the session's: they are what a runner resumes with.
   */
  public static Checkpoint checkpoint(String sessionId, SessionState session, StepReport report) {
    return checkpoint(sessionId, session).toBuilder()
        .addAllRanNodes(report.getRanNodesList())
        .addAllSkippedNodes(report.getSkippedNodesList())
        .addAllUpdatedChannels(report.getUpdatedChannelsList())
        .build();
  }

  /**
   * The session that a checkpoint was made from, to go on with.
   *
   * @throws IllegalArgumentException for a checkpoint without a state: only its header was loaded,
   *     or it was saved without a state. A runner that went on from there would have lost
   *     everything
   */
  public static SessionState restore(Checkpoint checkpoint) {
    if (!checkpoint.hasState()) {
      throw new IllegalArgumentException(
          "the checkpoint of session \""
              + checkpoint.getSessionId()
              + "\" at step "
              + Long.toUnsignedString(checkpoint.getStep())
              + " has no state: only its header was loaded, or it was saved without a state. Load it"
              + " in full, or load another checkpoint");
    }
    return SessionState.newBuilder()
        .setState(checkpoint.getState())
        .setStep(checkpoint.getStep())
        .addAllFrontier(checkpoint.getFrontierList())
        .setScheduler(Scheduler.newBuilder().setConcurrencyLimit(checkpoint.getConcurrencyLimit()))
        .setSchedulerState(
            SchedulerState.newBuilder().putAllVersionsSeen(checkpoint.getVersionsSeenMap()))
        .build();
  }

  /** The id under which the server will store it. */
  static String idOf(Checkpoint checkpoint) {
    String id = checkpoint.getCheckpointId();
    String step = Long.toUnsignedString(checkpoint.getStep());
    return id.isEmpty() ? "0".repeat(20 - step.length()) + step : id;
  }
}
