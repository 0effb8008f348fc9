package dev.lockstitch;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.Map;

/**
 * A call failed. The classes below say how; {@link #code} and {@link #reason} say it to programs.
 */
public class LockstitchException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final transient ErrorDetails details;

  LockstitchException(ErrorDetails details) {
    super(
        (details.reason().isEmpty() ? details.code().name() : details.reason())
            + ": "
            + details.message(),
        details.cause());
    this.details = details;
  }

  /** The same failure as an exception of its own, with the stack of the caller. */
  LockstitchException again() {
    return details.exception();
  }

  /** The gRPC status code. */
  public Code code() {
    return details.code();
  }

  /** The name of an {@code ErrorReason} without its prefix; "" where none was given. */
  public String reason() {
    return details.reason();
  }

  /** More about the reason; the keys are named in {@code error.proto}. */
  public Map<String, String> metadata() {
    return details.metadata();
  }

  /** How long the server asks to wait before the next try; zero where it does not. */
  public Duration retryDelay() {
    return details.retryDelay();
  }

  /** The message without the reason. */
  public String detail() {
    return details.message();
  }
}
