package dev.lockstitch.harness;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.MessageLite;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.function.Function;

/** An answer that is being written. */
final class Answer {
  final JsonObject json = new JsonObject();

  Answer text(String name, String value) {
    json.addProperty(name, value);
    return this;
  }

  Answer number(String name, long value) {
    json.addProperty(name, value);
    return this;
  }

  Answer flag(String name, boolean value) {
    json.addProperty(name, value);
    return this;
  }

  /** A u64, of which there are the 64 bits. */
  Answer u64(String name, long value) {
    return text(name, Long.toUnsignedString(value));
  }

  Answer time(String name, Instant when) {
    return text(
        name,
        String.valueOf(Math.addExact(when.getEpochSecond() * 1_000_000_000L, when.getNano())));
  }

  Answer message(String name, MessageLite message) {
    return text(name, encoded(message));
  }

  Answer messages(String name, Collection<? extends MessageLite> messages) {
    return list(name, messages, message -> new com.google.gson.JsonPrimitive(encoded(message)));
  }

  <T> Answer list(String name, Collection<T> items, Function<T, JsonElement> told) {
    JsonArray all = new JsonArray();
    items.forEach(item -> all.add(told.apply(item)));
    return with(name, all);
  }

  Answer with(String name, JsonElement value) {
    json.add(name, value);
    return this;
  }

  private static String encoded(MessageLite message) {
    return Base64.getEncoder().encodeToString(message.toByteArray());
  }
}
