package dev.lockstitch;

import com.google.protobuf.Message;
import dev.lockstitch.v1.ChannelVersions;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CustomChannel;
import dev.lockstitch.v1.NodeKind;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.TypedBlob;
import dev.lockstitch.v1.VersionedState;
import java.util.List;
import java.util.Map;

/**
 * Whether all text of a save is Unicode. {@link Texts} finds that out for every message, by
 * reflection; this faster check is for saves, and reads no item twice.
 */
final class SaveTexts {
  private SaveTexts() {}

  /**
   * @param known a state whose text is Unicode: parts of it that are in the save, as the same
   *     objects, are not read again
   */
  static boolean areUnicode(SaveRequest save, VersionedState known) {
    return isText(save.getBaseCheckpointId())
        && isText(save.getExpectedLatest().getCheckpointId())
        && areUnicode(save.getWritesList())
        && (!save.hasDelta() || Texts.isUnicode(save.getDelta()))
        && isUnicode(save.getCheckpoint())
        && isUnicode(save.getCheckpoint().getState(), known);
  }

  /** All but the state. */
  private static boolean isUnicode(Checkpoint checkpoint) {
    return isText(checkpoint.getSessionId())
        && isText(checkpoint.getNamespace())
        && isText(checkpoint.getCheckpointId())
        && isText(checkpoint.getParentId())
        && isText(checkpoint.getDependsOn())
        && isText(checkpoint.getHeader().getType())
        && areText(checkpoint.getMetadataMap())
        && areText(checkpoint.getUpdatedChannelsList())
        && areNodes(checkpoint.getFrontierList())
        && areNodes(checkpoint.getRanNodesList())
        && areNodes(checkpoint.getSkippedNodesList())
        && areVersions(checkpoint.getVersionsSeenMap());
  }

  private static boolean isUnicode(VersionedState state, VersionedState known) {
    return areMessages(state.getMessages().getItemsList(), known.getMessages().getItemsList())
        && (state.getExtra() == known.getExtra() || areText(state.getExtra().getEntriesMap()))
        && (state.getErrors() == known.getErrors() || Texts.isUnicode(state.getErrors()))
        && areChannels(state.getCustomMap(), known.getCustomMap());
  }

  private static boolean areMessages(
      List<dev.lockstitch.v1.Message> messages, List<dev.lockstitch.v1.Message> known) {
    for (int place = 0; place < messages.size(); place++) {
      var message = messages.get(place);
      boolean same = place < known.size() && known.get(place) == message;
      if (!same && !(isText(message.getRole()) && isText(message.getContent()))) {
        return false;
      }
    }
    return true;
  }

  private static boolean areChannels(
      Map<String, CustomChannel> channels, Map<String, CustomChannel> known) {
    for (Map.Entry<String, CustomChannel> entry : channels.entrySet()) {
      CustomChannel channel = entry.getValue();
      CustomChannel before = known.get(entry.getKey());
      if (channel != before && !(isText(entry.getKey()) && isUnicode(channel, before))) {
        return false;
      }
    }
    return true;
  }

  /** {@code known}: null: there is none. */
  private static boolean isUnicode(CustomChannel channel, CustomChannel known) {
    List<TypedBlob> before = known == null ? List.of() : known.getList().getItemsList();
    List<TypedBlob> items = channel.getList().getItemsList();
    for (int place = 0; place < items.size(); place++) {
      TypedBlob item = items.get(place);
      boolean same = place < before.size() && before.get(place) == item;
      if (!same && !isText(item.getType())) {
        return false;
      }
    }
    return isText(channel.getVersion()) && isText(channel.getBlob().getType());
  }

  private static boolean areVersions(Map<String, ChannelVersions> seen) {
    for (Map.Entry<String, ChannelVersions> entry : seen.entrySet()) {
      if (!isText(entry.getKey()) || !areText(entry.getValue().getVersionsMap().keySet())) {
        return false;
      }
    }
    return true;
  }

  private static boolean areNodes(List<NodeKind> nodes) {
    for (NodeKind node : nodes) {
      if (!isText(node.getCustom())) {
        return false;
      }
    }
    return true;
  }

  private static boolean areText(Map<String, String> entries) {
    return areText(entries.keySet()) && areText(entries.values());
  }

  private static boolean areText(Iterable<String> texts) {
    for (String text : texts) {
      if (!isText(text)) {
        return false;
      }
    }
    return true;
  }

  private static boolean areUnicode(List<? extends Message> messages) {
    for (Message message : messages) {
      if (!Texts.isUnicode(message)) {
        return false;
      }
    }
    return true;
  }

  private static boolean isText(String text) {
    return Texts.isText(text);
  }
}
