package dev.lockstitch;

import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadRequest;
import java.util.List;

/**
 * How much of a checkpoint to load. Immutable: {@code LoadOptions.ALL.namespace("a").headers()}.
 */
public final class LoadOptions {
  /** The whole checkpoint, from the root namespace. */
  public static final LoadOptions ALL = new LoadOptions("", false, List.of());

  final String namespace;
  private final boolean headers;
  private final List<String> channels;

  private LoadOptions(String namespace, boolean headers, List<String> channels) {
    this.namespace = namespace;
    this.headers = headers;
    this.channels = channels;
  }

  /** From this namespace; "" is the root namespace. */
  public LoadOptions namespace(String name) {
    return new LoadOptions(name, headers, channels);
  }

  /** Without the state, which need not be read then. */
  public LoadOptions headers() {
    return new LoadOptions(namespace, true, channels);
  }

  /**
   * Only these parts of the state: "messages", "errors", "extra/" and a key, or "custom/" and a
   * name. None named: all of them.
   */
  public LoadOptions channels(List<String> names) {
    return new LoadOptions(namespace, headers, List.copyOf(names));
  }

  LoadLatestRequest latest(String sessionId) {
    return LoadLatestRequest.newBuilder()
        .setSessionId(sessionId)
        .setNamespace(namespace)
        .setView(view())
        .addAllChannels(channels)
        .build();
  }

  /** Of a checkpoint that is yet to be named. */
  LoadRequest.Builder one(String sessionId) {
    return LoadRequest.newBuilder()
        .setSessionId(sessionId)
        .setNamespace(namespace)
        .setView(view())
        .addAllChannels(channels);
  }

  private CheckpointView view() {
    return headers ? CheckpointView.CHECKPOINT_VIEW_HEADER : CheckpointView.CHECKPOINT_VIEW_FULL;
  }
}
