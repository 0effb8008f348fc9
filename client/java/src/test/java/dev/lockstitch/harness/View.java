package dev.lockstitch.harness;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import dev.lockstitch.Values;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.Endpoint;
import dev.lockstitch.v1.ExtrasChannel;
import dev.lockstitch.v1.MessagesChannel;
import dev.lockstitch.v1.NodeKind;

/** A checkpoint as a program sees it that reads its fields. */
final class View {
  private View() {}

  static JsonObject of(Checkpoint checkpoint) {
    Answer view =
        new Answer()
            .text("checkpoint_id", checkpoint.getCheckpointId())
            .u64("step", checkpoint.getStep())
            .u64("concurrency_limit", checkpoint.getConcurrencyLimit())
            .with("versions_seen", seen(checkpoint))
            .list("frontier", checkpoint.getFrontierList(), kind -> new JsonPrimitive(name(kind)))
            .list(
                "custom",
                checkpoint.getState().getCustomMap().keySet().stream().sorted().toList(),
                JsonPrimitive::new)
            .flag("has_header", checkpoint.hasHeader());
    if (checkpoint.hasCreatedAt()) {
      view.time("created_at", Values.instant(checkpoint.getCreatedAt()));
    }
    if (checkpoint.getState().hasMessages()) {
      view.with("messages", messages(checkpoint.getState().getMessages()));
    }
    if (checkpoint.getState().hasExtra()) {
      view.with("extra", extra(checkpoint.getState().getExtra()));
    }
    return view.json;
  }

  private static JsonObject seen(Checkpoint checkpoint) {
    Answer nodes = new Answer();
    checkpoint
        .getVersionsSeenMap()
        .forEach(
            (node, seen) -> {
              Answer versions = new Answer();
              seen.getVersionsMap().forEach(versions::u64);
              nodes.with(node, versions.json);
            });
    return nodes.json;
  }

  private static JsonObject messages(MessagesChannel channel) {
    Answer view =
        new Answer()
            .number("version", Integer.toUnsignedLong(channel.getVersion()))
            .number("count", channel.getItemsCount());
    if (channel.getItemsCount() > 0) {
      var last = channel.getItems(channel.getItemsCount() - 1);
      view.with(
          "last",
          new Answer().text("role", last.getRole()).text("content", last.getContent()).json);
    }
    return view.json;
  }

  private static JsonObject extra(ExtrasChannel channel) {
    Answer entries = new Answer();
    channel.getEntriesMap().forEach(entries::text);
    long version = Integer.toUnsignedLong(channel.getVersion());
    return new Answer().number("version", version).with("entries", entries.json).json;
  }

  private static String name(NodeKind kind) {
    if (kind.hasCustom()) {
      return "custom:" + kind.getCustom();
    }
    return kind.getEndpoint() == Endpoint.ENDPOINT_START ? "START" : "END";
  }
}
