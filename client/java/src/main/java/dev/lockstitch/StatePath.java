package dev.lockstitch;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A place in a plain state: keys (String) and indexes (Integer). */
record StatePath(List<Object> parts) {
  static final StatePath ROOT = new StatePath(List.of());

  static StatePath of(String... keys) {
    return new StatePath(List.of((Object[]) keys));
  }

  /** A place inside this one. */
  StatePath in(Object part) {
    return new StatePath(Stream.concat(parts.stream(), Stream.of(part)).toList());
  }

  int depth() {
    return parts.size();
  }

  LockstitchException refuse(String problem) {
    return Errors.refused(toString(), problem);
  }

  @Override
  public String toString() {
    return parts.stream()
        .map(
            part ->
                part instanceof String key ? "[" + StateJson.quoted(key) + "]" : "[" + part + "]")
        .collect(Collectors.joining("", "state", ""));
  }
}
