package dev.lockstitch.harness;

import com.google.protobuf.ByteString;
import dev.lockstitch.Values;
import dev.lockstitch.v1.ChannelVersions;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CustomChannel;
import dev.lockstitch.v1.TypedBlob;
import dev.lockstitch.v1.VersionedState;
import java.util.Base64;

/** Changes a checkpoint in the language's own types. */
final class Edit {
  private Edit() {}

  static Checkpoint apply(Checkpoint checkpoint, Arguments edit) {
    Checkpoint.Builder builder = checkpoint.toBuilder();
    edit.optionalText("checkpoint_id").ifPresent(builder::setCheckpointId);
    edit.optionalText("parent_id").ifPresent(builder::setParentId);
    if (edit.has("step")) {
      builder.setStep(edit.u64("step"));
    }
    if (edit.has("concurrency_limit")) {
      builder.setConcurrencyLimit(edit.u64("concurrency_limit"));
    }
    if (edit.has("created_at")) {
      builder.setCreatedAt(Values.timestamp(edit.instant("created_at")));
    }
    if (edit.has("seen")) {
      see(builder, edit.object("seen"));
    }
    edit.optionalText("append_frontier").map(Values::node).ifPresent(builder::addFrontier);
    builder.putAllMetadata(edit.map("set_metadata"));
    changeState(builder.getStateBuilder(), edit);
    return builder.build();
  }

  private static void see(Checkpoint.Builder builder, Arguments seen) {
    var before =
        builder.getVersionsSeenOrDefault(seen.text("node"), ChannelVersions.getDefaultInstance());
    var after = before.toBuilder().putVersions(seen.text("channel"), seen.u64("version")).build();
    builder.putVersionsSeen(seen.text("node"), after);
  }

  private static void changeState(VersionedState.Builder state, Arguments edit) {
    if (edit.has("append_message")) {
      Arguments said = edit.object("append_message");
      state.getMessagesBuilder().addItems(Values.message(said.text("role"), said.text("content")));
    }
    if (edit.has("messages_version")) {
      int version = Integer.parseUnsignedInt(edit.text("messages_version"));
      state.getMessagesBuilder().setVersion(version);
    }
    if (edit.has("set_extra")) {
      state.getExtraBuilder().putAllEntries(edit.map("set_extra"));
    }
    edit.texts("remove_extra").forEach(key -> state.getExtraBuilder().removeEntries(key));
    if (edit.has("append_item")) {
      append(state, edit.object("append_item"));
    }
  }

  private static void append(VersionedState.Builder state, Arguments item) {
    ByteString data = ByteString.copyFrom(Base64.getDecoder().decode(item.text("data")));
    TypedBlob blob = TypedBlob.newBuilder().setType(item.text("type")).setData(data).build();
    CustomChannel.Builder channel = state.getCustomOrThrow(item.text("channel")).toBuilder();
    channel.getListBuilder().addItems(blob);
    state.putCustom(item.text("channel"), channel.build());
  }
}
