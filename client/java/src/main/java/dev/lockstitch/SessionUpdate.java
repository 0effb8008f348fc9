package dev.lockstitch;

import dev.lockstitch.v1.UpdateSessionRequest;
import java.time.Duration;

/**
 * A change of a session's settings. Immutable: {@code SessionUpdate.NONE.label("kind",
 * "test").ttl(Duration.ofDays(30))}.
 */
public final class SessionUpdate {
  /** No change. */
  public static final SessionUpdate NONE =
      new SessionUpdate(UpdateSessionRequest.getDefaultInstance());

  final UpdateSessionRequest request;

  private SessionUpdate(UpdateSessionRequest request) {
    this.request = request;
  }

  /** Sets a label. */
  public SessionUpdate label(String key, String value) {
    return with(builder().putSetLabels(key, value));
  }

  /** Removes a label. */
  public SessionUpdate removeLabel(String key) {
    return with(builder().addRemoveLabels(key));
  }

  /** The session ends this long after its last change, 1 second or more. */
  public SessionUpdate ttl(Duration time) {
    return with(builder().setTtl(Values.duration(time)));
  }

  /** The session does not end by itself. */
  public SessionUpdate clearTtl() {
    return with(builder().setClearTtl(true));
  }

  /** Which checkpoints stay, in place of the server's policy. */
  public SessionUpdate retention(Retention policy) {
    return with(builder().setRetention(policy.message()));
  }

  /** The server's retention policy applies. */
  public SessionUpdate clearRetention() {
    return with(builder().setClearRetention(true));
  }

  /** Fencing token of the lease under which the caller changes the session. */
  public SessionUpdate withLease(long token) {
    return with(builder().setLeaseToken(token));
  }

  private UpdateSessionRequest.Builder builder() {
    return request.toBuilder();
  }

  private static SessionUpdate with(UpdateSessionRequest.Builder changed) {
    return new SessionUpdate(changed.build());
  }
}
