package dev.lockstitch;

import com.google.protobuf.Message;
import dev.lockstitch.v1.BlobList;
import dev.lockstitch.v1.CustomChannel;
import dev.lockstitch.v1.CustomDelta;
import dev.lockstitch.v1.ErrorsDelta;
import dev.lockstitch.v1.ExtrasDelta;
import dev.lockstitch.v1.MessagesDelta;
import dev.lockstitch.v1.StateDelta;
import dev.lockstitch.v1.VersionedState;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What changed between two states. Whatever a delta cannot carry is no delta at all. */
final class Delta {
  private final VersionedState old;
  private final VersionedState now;
  private final StateDelta.Builder delta = StateDelta.newBuilder();

  private Delta(VersionedState old, VersionedState now) {
    this.old = old;
    this.now = now;
  }

  /** The delta that leads from one state to the other; empty: there is none. */
  static Optional<StateDelta> between(VersionedState old, VersionedState now) {
    Delta made = new Delta(old, now);
    boolean expressible = made.messages() && made.errors() && made.extra() && made.custom();
    return expressible ? Optional.of(made.delta.build()) : Optional.empty();
  }

  /**
   * Whether a delta could start from this state and lead to it: nothing in it is of a newer
   * contract.
   */
  static boolean isKnown(VersionedState state) {
    for (CustomChannel channel : state.getCustomMap().values()) {
      if (!known(channel) || !known(channel.getList())) {
        return false;
      }
    }
    return known(state)
        && known(state.getMessages())
        && known(state.getExtra())
        && known(state.getErrors());
  }

  private static boolean known(Message message) {
    return message.getUnknownFields().asMap().isEmpty();
  }

  private boolean messages() {
    if (!now.hasMessages() || now.getMessages().equals(old.getMessages()) && old.hasMessages()) {
      return now.hasMessages() || !old.hasMessages();
    }
    List<dev.lockstitch.v1.Message> items = now.getMessages().getItemsList();
    int before = grownFrom(old.getMessages().getItemsList(), items);
    if (before >= 0) {
      delta.setMessages(
          MessagesDelta.newBuilder()
              .setVersion(now.getMessages().getVersion())
              .addAllAppend(items.subList(before, items.size())));
    }
    return before >= 0;
  }

  private boolean errors() {
    if (!now.hasErrors() || now.getErrors().equals(old.getErrors()) && old.hasErrors()) {
      return now.hasErrors() || !old.hasErrors();
    }
    var items = now.getErrors().getItemsList();
    int before = grownFrom(old.getErrors().getItemsList(), items);
    if (before >= 0) {
      delta.setErrors(
          ErrorsDelta.newBuilder()
              .setVersion(now.getErrors().getVersion())
              .addAllAppend(items.subList(before, items.size())));
    }
    return before >= 0;
  }

  private boolean extra() {
    if (!now.hasExtra() || now.getExtra().equals(old.getExtra()) && old.hasExtra()) {
      return now.hasExtra() || !old.hasExtra();
    }
    Map<String, String> before = old.getExtra().getEntriesMap();
    Map<String, String> after = now.getExtra().getEntriesMap();
    ExtrasDelta.Builder changed = ExtrasDelta.newBuilder().setVersion(now.getExtra().getVersion());
    after.forEach(
        (key, value) -> {
          if (!value.equals(before.get(key))) {
            changed.putSet(key, value);
          }
        });
    before.keySet().stream().filter(key -> !after.containsKey(key)).forEach(changed::addRemove);
    delta.setExtra(changed);
    return true;
  }

  private boolean custom() {
    for (Map.Entry<String, CustomChannel> entry : now.getCustomMap().entrySet()) {
      CustomChannel before = old.getCustomMap().get(entry.getKey());
      if (!entry.getValue().equals(before)) {
        Optional<CustomDelta> change = change(before, entry.getValue());
        if (change.isEmpty()) {
          return false;
        }
        delta.putCustom(entry.getKey(), change.get());
      }
    }
    for (String name : old.getCustomMap().keySet()) {
      if (!now.containsCustom(name)) {
        delta.addRemovedCustom(name);
      }
    }
    return true;
  }

  /** Empty: a delta cannot take a value away. */
  private static Optional<CustomDelta> change(CustomChannel old, CustomChannel now) {
    CustomDelta.Builder change = CustomDelta.newBuilder().setVersion(now.getVersion());
    boolean same = old != null && old.toBuilder().setVersion(now.getVersion()).build().equals(now);
    if (same) {
      return Optional.of(change.build());
    }
    switch (now.getValueCase()) {
      case BLOB -> change.setBlob(now.getBlob());
      case LIST -> setList(change, old, now.getList());
      case VALUE_NOT_SET -> {
        return Optional.empty();
      }
    }
    return Optional.of(change.build());
  }

  private static void setList(CustomDelta.Builder change, CustomChannel old, BlobList now) {
    int before =
        old != null && old.hasList()
            ? grownFrom(old.getList().getItemsList(), now.getItemsList())
            : -1;
    if (before < 0) {
      change.setList(now);
    } else {
      var added = now.getItemsList().subList(before, now.getItemsCount());
      change.setAppend(BlobList.newBuilder().addAllItems(added));
    }
  }

  /** How many items there were, if they are still there, at the beginning; else -1. */
  private static int grownFrom(List<?> old, List<?> now) {
    int size = old.size();
    return size <= now.size() && now.subList(0, size).equals(old) ? size : -1;
  }
}
