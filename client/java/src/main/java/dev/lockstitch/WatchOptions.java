package dev.lockstitch;

import dev.lockstitch.v1.WatchSessionRequest;
import java.time.Duration;

/** How to watch a session. Immutable: {@code WatchOptions.NONE.after(event.resumeToken())}. */
public final class WatchOptions {
  /** From now on, with a heartbeat every 10 seconds. */
  public static final WatchOptions NONE =
      new WatchOptions(WatchSessionRequest.getDefaultInstance());

  final WatchSessionRequest request;

  private WatchOptions(WatchSessionRequest request) {
    this.request = request;
  }

  /** Continues after the event that had this token. */
  public WatchOptions after(String resumeToken) {
    return new WatchOptions(request.toBuilder().setResumeToken(resumeToken).build());
  }

  /** How long the server is silent at most. After three times this long the client reconnects. */
  public WatchOptions heartbeat(Duration time) {
    return new WatchOptions(request.toBuilder().setHeartbeat(Values.duration(time)).build());
  }
}
