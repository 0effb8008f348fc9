package dev.lockstitch;

import com.google.protobuf.ByteString;
import dev.lockstitch.v1.BlobList;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CustomChannel;
import dev.lockstitch.v1.TypedBlob;
import dev.lockstitch.v1.VersionedState;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** How a plain state is stored: docs/clients/plain-state.md. */
final class StateLayout {
  static final TypedBlob HEADER =
      TypedBlob.newBuilder()
          .setType("lockstitch.plain")
          .setData(ByteString.copyFromUtf8("1"))
          .build();
  private static final String JSON = "json";

  /** How many keys a map in the state may have to get a channel for each. */
  private static final int SPLIT_KEYS = 100;

  private static final int NAME_BYTES = 512;

  private final VersionedState before;
  private final VersionedState.Builder written = VersionedState.newBuilder();

  private StateLayout(VersionedState before) {
    this.before = before;
  }

  /**
   * A state as channels.
   *
   * @param before those that were loaded or saved last; values that are equal keep their bytes, so
   *     that they are not stored again
   */
  static VersionedState write(Map<?, ?> state, VersionedState before) {
    StateLayout layout = new StateLayout(before);
    state.forEach(
        (key, value) -> {
          String name = StateJson.key(key, StatePath.ROOT);
          if (value instanceof Map<?, ?> map && isSplit(name, map)) {
            map.forEach((inner, member) -> layout.put(member, name, (String) inner));
          } else {
            layout.put(value, name);
          }
        });
    return layout.written.build();
  }

  /** Whether a map has a channel for each key. */
  private static boolean isSplit(String key, Map<?, ?> map) {
    if (map.isEmpty() || map.size() > SPLIT_KEYS) {
      return false;
    }
    for (Object inner : map.keySet()) {
      if (bytes(name(key, StateJson.key(inner, StatePath.of(key)))) > NAME_BYTES) {
        return false;
      }
    }
    return true;
  }

  private void put(Object value, String... keys) {
    StatePath at = StatePath.of(keys);
    String name = checkedName(at, keys);
    CustomChannel known = before.getCustomOrDefault(name, CustomChannel.getDefaultInstance());
    CustomChannel.Builder channel = CustomChannel.newBuilder();
    if (value instanceof List<?> list) {
      BlobList.Builder items = BlobList.newBuilder();
      for (Object item : list) {
        int index = items.getItemsCount();
        TypedBlob old =
            index < known.getList().getItemsCount() ? known.getList().getItems(index) : null;
        items.addItems(kept(old, StateJson.write(item, at.in(index))));
      }
      channel.setList(items);
    } else {
      channel.setBlob(kept(known.hasBlob() ? known.getBlob() : null, StateJson.write(value, at)));
    }
    written.putCustom(name, channel.build());
  }

  /** The old blob where it has the same value: another program may have written it. */
  private static TypedBlob kept(TypedBlob old, ByteString data) {
    if (old != null && (old.getData().equals(data) || sameValue(old, data))) {
      return old;
    }
    return TypedBlob.newBuilder().setType(JSON).setData(data).build();
  }

  private static boolean sameValue(TypedBlob old, ByteString data) {
    Object value = StateJson.read(data, StatePath.ROOT);
    Object known = readBlob(old, StatePath.ROOT);
    return value == null ? known == null : value.equals(known);
  }

  /** A state with more items in one of its lists. */
  static VersionedState append(VersionedState state, String key, List<?> items) {
    StatePath at = StatePath.of(StateJson.key(key, StatePath.ROOT));
    String name = checkedName(at, key);
    if (state.getCustomMap().keySet().stream().anyMatch(other -> other.startsWith(name + "/"))) {
      throw at.refuse("is a map, not a list");
    }
    CustomChannel known = state.getCustomOrDefault(name, null);
    if (known != null && !known.hasList()) {
      throw at.refuse("is not a list");
    }
    BlobList.Builder list = known == null ? BlobList.newBuilder() : known.getList().toBuilder();
    for (Object item : items) {
      ByteString data = StateJson.write(item, at.in(list.getItemsCount()));
      list.addItems(TypedBlob.newBuilder().setType(JSON).setData(data));
    }
    return state.toBuilder()
        .putCustom(name, CustomChannel.newBuilder().setList(list).build())
        .build();
  }

  /** The state of a checkpoint. */
  static Map<String, Object> read(Checkpoint checkpoint) {
    check(checkpoint);
    Map<String, Object> state = new LinkedHashMap<>();
    Map<String, Map<String, Object>> split = new LinkedHashMap<>();
    new TreeMap<>(checkpoint.getState().getCustomMap())
        .forEach(
            (name, channel) -> {
              String[] keys = name.split("/", -1);
              for (int index = 0; index < keys.length; index++) {
                keys[index] = keys[index].replace("~1", "/").replace("~0", "~");
              }
              if (keys.length > 2 || !name(keys).equals(name)) {
                throw StatePath.ROOT.refuse(
                    "has the channel "
                        + StateJson.quoted(name)
                        + ", which is not one of a plain state");
              }
              Map<String, Object> inside =
                  keys.length == 1
                      ? state
                      : split.computeIfAbsent(keys[0], key -> new LinkedHashMap<>());
              inside.put(keys[keys.length - 1], readChannel(channel, StatePath.of(keys)));
            });
    split.forEach(
        (key, inside) -> {
          if (state.containsKey(key)) {
            throw StatePath.of(key).refuse("is stored as one value, and by its keys");
          }
          state.put(key, inside);
        });
    return state;
  }

  private static void check(Checkpoint checkpoint) {
    TypedBlob header = checkpoint.getHeader();
    VersionedState state = checkpoint.getState();
    String of =
        "of checkpoint \""
            + checkpoint.getCheckpointId()
            + "\" of session \""
            + checkpoint.getSessionId()
            + "\" ";
    if (!header.getType().equals(HEADER.getType())) {
      throw StatePath.ROOT.refuse(of + "is not a plain state: load it with loadLatest or load");
    }
    if (!header.getData().equals(HEADER.getData())) {
      throw StatePath.ROOT.refuse(
          of
              + "has layout \""
              + header.getData().toStringUtf8()
              + "\", and this client reads layout \"1\": update it");
    }
    if (state.hasMessages() || state.hasExtra() || state.hasErrors()) {
      throw StatePath.ROOT.refuse(
          of + "has messages, extra or errors, which are not channels of a plain state");
    }
  }

  private static Object readChannel(CustomChannel channel, StatePath at) {
    if (!channel.hasList()) {
      return readBlob(channel.getBlob(), at);
    }
    List<Object> list = new ArrayList<>();
    for (TypedBlob blob : channel.getList().getItemsList()) {
      list.add(readBlob(blob, at.in(list.size())));
    }
    return list;
  }

  private static Object readBlob(TypedBlob blob, StatePath at) {
    if (!blob.getType().equals(JSON)) {
      throw at.refuse(
          "is stored as \"" + blob.getType() + "\", and this client reads \"" + JSON + "\"");
    }
    return StateJson.read(blob.getData(), at);
  }

  private static String name(String... keys) {
    List<String> escaped = new ArrayList<>();
    for (String key : keys) {
      escaped.add(key.replace("~", "~0").replace("/", "~1"));
    }
    return String.join("/", escaped);
  }

  private static String checkedName(StatePath at, String... keys) {
    String name = name(keys);
    if (bytes(name) > NAME_BYTES) {
      throw at.refuse(
          "has keys of "
              + bytes(name)
              + " bytes together; the limit is "
              + NAME_BYTES
              + ": shorten them");
    }
    return name;
  }

  private static int bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length;
  }
}
