package dev.lockstitch;

import com.google.protobuf.Timestamp;
import dev.lockstitch.v1.Endpoint;
import dev.lockstitch.v1.Message;
import dev.lockstitch.v1.NodeKind;
import java.time.Duration;
import java.time.Instant;

/** Small helpers to write messages of the contract by hand. */
public final class Values {
  /** Where a graph begins. */
  public static final NodeKind START =
      NodeKind.newBuilder().setEndpoint(Endpoint.ENDPOINT_START).build();

  /** Where a graph ends. */
  public static final NodeKind END =
      NodeKind.newBuilder().setEndpoint(Endpoint.ENDPOINT_END).build();

  private Values() {}

  /** A node of the user's. */
  public static NodeKind node(String name) {
    return NodeKind.newBuilder().setCustom(name).build();
  }

  /** One message of a conversation. */
  public static Message message(String role, String content) {
    return Message.newBuilder().setRole(role).setContent(content).build();
  }

  /** A point in time, exact to the nanosecond. */
  public static Timestamp timestamp(Instant when) {
    return Timestamp.newBuilder()
        .setSeconds(when.getEpochSecond())
        .setNanos(when.getNano())
        .build();
  }

  /** A point in time, exact to the nanosecond. */
  public static Instant instant(Timestamp when) {
    return Instant.ofEpochSecond(when.getSeconds(), when.getNanos());
  }

  /** A length of time. */
  public static com.google.protobuf.Duration duration(Duration time) {
    return com.google.protobuf.Duration.newBuilder()
        .setSeconds(time.getSeconds())
        .setNanos(time.getNano())
        .build();
  }

  static Duration duration(com.google.protobuf.Duration time) {
    return Duration.ofSeconds(time.getSeconds(), time.getNanos());
  }
}
