package dev.lockstitch;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor.JavaType;
import com.google.protobuf.MapEntry;
import com.google.protobuf.Message;
import dev.lockstitch.v1.BlobList;
import dev.lockstitch.v1.MessagesChannel;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.VersionedState;
import java.util.List;
import java.util.Map;

/** Finds text that is not Unicode: protobuf would write "?" for half of a surrogate pair. */
final class Texts {
  private Texts() {}

  /** Throws {@link InvalidArgumentException} with the field of the request. */
  static void check(Message request) {
    String path = illFormed(request);
    if (path != null) {
      throw Errors.refused(path.substring(1), "holds half of a surrogate pair, which is not text");
    }
  }

  /** As {@link #check(Message)}. {@code known}: a state whose text is Unicode. */
  static void check(SaveRequest save, VersionedState known) {
    if (!SaveTexts.areUnicode(save, known)) {
      check(save);
    }
  }

  static boolean isUnicode(Message message) {
    return illFormed(message) == null;
  }

  static boolean isText(String text) {
    for (int index = 0; index < text.length(); index++) {
      if (Character.isSurrogate(text.charAt(index))) {
        boolean pair =
            index + 1 < text.length()
                && Character.isSurrogatePair(text.charAt(index), text.charAt(index + 1));
        if (!pair) {
          return false;
        }
        index++;
      }
    }
    return true;
  }

  /** The path of the first such text in a message; null: there is none. */
  private static String illFormed(Message message) {
    if (isWellFormed(message)) {
      return null;
    }
    for (Map.Entry<FieldDescriptor, Object> entry : message.getAllFields().entrySet()) {
      FieldDescriptor field = entry.getKey();
      if (field.getJavaType() == JavaType.STRING || field.getJavaType() == JavaType.MESSAGE) {
        String path = illFormed(field, entry.getValue());
        if (path != null) {
          return "." + field.getName() + path;
        }
      }
    }
    return null;
  }

  private static String illFormed(FieldDescriptor field, Object value) {
    if (!field.isRepeated()) {
      return illFormedValue(value);
    }
    int index = 0;
    for (Object item : (List<?>) value) {
      String path = illFormedValue(item);
      if (path != null && item instanceof MapEntry<?, ?> entry) {
        return "[" + StateJson.quoted(String.valueOf(entry.getKey())) + "]";
      }
      if (path != null) {
        return "[" + index + "]" + path;
      }
      index++;
    }
    return null;
  }

  /** "": the value itself is such a text. */
  private static String illFormedValue(Object value) {
    if (value instanceof Message message) {
      return illFormed(message);
    }
    return value instanceof String text && !isText(text) ? "" : null;
  }

  /** Says so of the lists that may have thousands of items, without reflection. */
  private static boolean isWellFormed(Message message) {
    if (message instanceof MessagesChannel channel) {
      return channel.getItemsList().stream()
          .allMatch(item -> isText(item.getRole()) && isText(item.getContent()));
    }
    return message instanceof BlobList list
        && list.getItemsList().stream().allMatch(item -> isText(item.getType()));
  }
}
