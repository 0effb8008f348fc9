package dev.lockstitch;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.Map;
import java.util.function.Function;

/**
 * What there is to know of a failure.
 *
 * @param retryDelay zero where the server asks for none
 * @param kind the constructor of the exception's class
 */
record ErrorDetails(
    Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    Duration retryDelay,
    Throwable cause,
    Function<ErrorDetails, LockstitchException> kind) {
  /** The exception. Each call makes a new one, with the stack of its caller. */
  LockstitchException exception() {
    return kind.apply(this);
  }
}
