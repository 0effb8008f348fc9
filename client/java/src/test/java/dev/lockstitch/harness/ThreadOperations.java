package dev.lockstitch.harness;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.lockstitch.InvalidArgumentException;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.StateThread;
import dev.lockstitch.Values;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The operations on threads of plain state. */
final class ThreadOperations {
  private final Map<List<String>, StateThread> threads = new HashMap<>();

  void clear() {
    threads.clear();
  }

  JsonObject run(LockstitchClient client, String name, Arguments given) {
    StateThread thread =
        threads.computeIfAbsent(
            List.of(given.text("session_id"), given.text("by")), key -> client.thread(key.get(0)));
    try {
      return run(thread, name, given);
    } catch (InvalidArgumentException error) {
      if (error.field().startsWith("state")) {
        return new Answer().text("refused", error.detail()).json;
      }
      throw error;
    }
  }

  private static JsonObject run(StateThread thread, String name, Arguments given) {
    switch (name) {
      case "plain_save" -> thread.save(map(Values.jsonValue(given.text("state"))));
      case "plain_append" ->
          thread.append(
              given.text("key"), ((List<?>) Values.jsonValue(given.text("items"))).toArray());
      case "plain_load" -> {
        return given.has("step")
            ? state(thread, thread.at(given.number("step")))
            : thread
                .load()
                .map(loaded -> state(thread, loaded))
                .orElseGet(() -> new Answer().number("step", thread.step()).json);
      }
      case "plain_history" -> {
        JsonArray steps = new JsonArray();
        thread.history().forEach(version -> steps.add(version.step()));
        return new Answer().with("steps", steps).json;
      }
      case "plain_fork" -> {
        StateThread fork =
            given.has("step")
                ? thread.fork(given.text("target"), given.number("step"))
                : thread.fork(given.text("target"));
        return state(fork, fork.load().orElseThrow());
      }
      case "plain_rewind" -> {
        return state(thread, thread.rewind(given.number("step")));
      }
      case "plain_save_ill_formed" -> thread.save(Map.of("a", Map.of("b", List.of("\ud83d"))));
      default -> throw new IllegalArgumentException("there is no operation " + name);
    }
    return new Answer().number("step", thread.step()).json;
  }

  private static JsonObject state(StateThread thread, Map<String, Object> state) {
    return new Answer().text("state", Values.jsonText(state)).number("step", thread.step()).json;
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> map(Object value) {
    return (Map<String, Object>) value;
  }
}
