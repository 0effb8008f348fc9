package dev.lockstitch;

import io.grpc.Status.Code;
import java.time.Duration;
import java.util.Map;

/** What there is to know of a failure. {@code retryDelay}: zero where the server asks for none. */
record ErrorDetails(
    Code code,
    String message,
    String reason,
    Map<String, String> metadata,
    Duration retryDelay,
    Throwable cause) {}
