package dev.lockstitch;

import com.google.protobuf.ByteString;
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

  /**
   * A value as JSON text, for {@code extra}, {@code metadata}, {@code details} and {@code context}:
   * maps, lists, text, numbers, booleans and null.
   *
   * <pre>{@code Values.jsonText(Map.of("size", "XL")) // {"size":"XL"}}</pre>
   *
   * @throws InvalidArgumentException for data that would not come back; {@code field()} is its path
   */
  public static String jsonText(Object value) {
    return StateJson.write(value, StatePath.ROOT).toStringUtf8();
  }

  /**
   * The value of a JSON text. Integers are Long, or BigInteger beyond 64 bits; other numbers are
   * Double.
   *
   * @throws InvalidArgumentException for data that would be lost or changed; {@code field()} is its
   *     path
   */
  public static Object jsonValue(String text) {
    return StateJson.read(ByteString.copyFromUtf8(text), StatePath.ROOT);
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
