package dev.lockstitch;

import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestStreamResponse;
import java.util.Optional;

/** The answer about one of many sessions. */
public final class LatestOf {
  private final LoadLatestRequest request;
  private final LoadLatestStreamResponse answer;

  LatestOf(LoadLatestRequest request, LoadLatestStreamResponse answer) {
    this.request = request;
    this.answer = answer;
  }

  /** The session. */
  public String sessionId() {
    return request.getSessionId();
  }

  /** The namespace. */
  public String namespace() {
    return request.getNamespace();
  }

  /** Why it could not be loaded. */
  public Optional<LockstitchException> error() {
    return answer.hasError() ? Optional.of(Errors.from(answer.getError())) : Optional.empty();
  }

  /**
   * The latest checkpoint.
   *
   * @throws LockstitchException what went wrong, so that nobody takes that for "none"
   */
  public Latest result() {
    error()
        .ifPresent(
            error -> {
              throw error;
            });
    return Convert.latest(answer.getLoaded());
  }
}
