package dev.lockstitch.harness;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Parser;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What an operation is given. What is absent is empty, 0, false or "". */
record Arguments(JsonObject json) {
  boolean has(String name) {
    return json.has(name) && !json.get(name).isJsonNull();
  }

  String text(String name) {
    return optionalText(name).orElse("");
  }

  Optional<String> optionalText(String name) {
    return has(name) ? Optional.of(json.get(name).getAsString()) : Optional.empty();
  }

  boolean flag(String name) {
    return has(name) && json.get(name).getAsBoolean();
  }

  int number(String name) {
    return has(name) ? json.get(name).getAsInt() : 0;
  }

  /** A u64, as its 64 bits. */
  long u64(String name) {
    return has(name) ? Long.parseUnsignedLong(json.get(name).getAsString()) : 0;
  }

  /** null: absent. */
  Duration time(String name) {
    return has(name) ? Duration.ofMillis(json.get(name).getAsLong()) : null;
  }

  Optional<Duration> optionalTime(String name) {
    return Optional.ofNullable(time(name));
  }

  Instant instant(String name) {
    long nanos = json.get(name).getAsLong();
    return Instant.ofEpochSecond(
        Math.floorDiv(nanos, 1_000_000_000L), Math.floorMod(nanos, 1_000_000_000L));
  }

  Arguments object(String name) {
    return new Arguments(has(name) ? json.getAsJsonObject(name) : new JsonObject());
  }

  List<Arguments> objects(String name) {
    List<Arguments> all = new ArrayList<>();
    list(name).forEach(element -> all.add(new Arguments(element.getAsJsonObject())));
    return all;
  }

  List<String> texts(String name) {
    List<String> all = new ArrayList<>();
    list(name).forEach(element -> all.add(element.getAsString()));
    return all;
  }

  Map<String, String> map(String name) {
    Map<String, String> all = new LinkedHashMap<>();
    object(name)
        .json
        .entrySet()
        .forEach(entry -> all.put(entry.getKey(), entry.getValue().getAsString()));
    return all;
  }

  <M> M message(String name, Parser<M> parser) throws InvalidProtocolBufferException {
    return decoded(json.get(name).getAsString(), parser);
  }

  <M> List<M> messages(String name, Parser<M> parser) throws InvalidProtocolBufferException {
    List<M> all = new ArrayList<>();
    for (JsonElement element : list(name)) {
      all.add(decoded(element.getAsString(), parser));
    }
    return all;
  }

  private JsonArray list(String name) {
    return has(name) ? json.getAsJsonArray(name) : new JsonArray();
  }

  private static <M> M decoded(String data, Parser<M> parser)
      throws InvalidProtocolBufferException {
    return parser.parseFrom(Base64.getDecoder().decode(data));
  }
}
