package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor.JavaType;
import com.google.protobuf.Message;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.VersionedState;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** The fast check of the text of saves reads every text that a save can hold. */
class SaveTextsTest {
  private static final VersionedState NONE = VersionedState.getDefaultInstance();

  /** How deep messages are nested at most; only the causes of errors are nested for ever. */
  private static final int DEPTH = 9;

  @Test
  void everyTextIsRead() {
    List<SaveRequest> good = new ArrayList<>();
    List<SaveRequest> bad = new ArrayList<>();
    each(SaveRequest.newBuilder(), "🧵", DEPTH, save -> good.add((SaveRequest) save));
    each(SaveRequest.newBuilder(), "\ud83d", DEPTH, save -> bad.add((SaveRequest) save));
    assertTrue(bad.size() > 40, bad::toString);
    assertEquals(bad.size(), good.size());
    for (SaveRequest save : bad) {
      assertFalse(SaveTexts.areUnicode(save, NONE), save::toString);
      assertThrows(InvalidArgumentException.class, () -> Texts.check(save, NONE));
    }
    for (SaveRequest save : good) {
      assertTrue(SaveTexts.areUnicode(save, NONE), save::toString);
    }
  }

  @Test
  void newPartsOfAStateAreRead() {
    VersionedState.Builder state = VersionedState.newBuilder();
    state.getMessagesBuilder().addItems(Values.message("user", "hello"));
    VersionedState known = state.build();
    state.getMessagesBuilder().addItems(Values.message("user", "\ud83d"));
    assertFalse(SaveTexts.areUnicode(saveOf(state), known));
    state.getMessagesBuilder().removeItems(1).setItems(0, Values.message("\ud83d", "hello"));
    assertFalse(SaveTexts.areUnicode(saveOf(state), known));
  }

  private static SaveRequest saveOf(VersionedState.Builder state) {
    SaveRequest.Builder save = SaveRequest.newBuilder();
    save.getCheckpointBuilder().setState(state);
    return save.build();
  }

  /** Makes a message for each text that this one can hold, with that text and nothing else. */
  private static void each(
      Message.Builder empty, String text, int depth, java.util.function.Consumer<Message> take) {
    for (FieldDescriptor field : empty.getDescriptorForType().getFields()) {
      Function<Object, Message> with =
          value -> {
            Message.Builder builder = empty.clone();
            return field.isRepeated()
                ? builder.addRepeatedField(field, value).build()
                : builder.setField(field, value).build();
          };
      if (field.getJavaType() == JavaType.STRING) {
        take.accept(with.apply(text));
      } else if (field.getJavaType() == JavaType.MESSAGE && depth > 0) {
        each(
            empty.newBuilderForField(field),
            text,
            depth - 1,
            part -> take.accept(with.apply(part)));
      }
    }
  }
}
