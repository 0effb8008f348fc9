package dev.lockstitch.harness;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.lockstitch.DeltaPolicy;
import dev.lockstitch.LatestOf;
import dev.lockstitch.ListedCheckpoint;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.RetryPolicy;
import dev.lockstitch.SaveOptions;
import dev.lockstitch.Tls;
import dev.lockstitch.Values;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointView;
import dev.lockstitch.v1.ListCheckpointsRequest;
import dev.lockstitch.v1.ListSessionsRequest;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestResponse;
import dev.lockstitch.v1.LoadRequest;
import dev.lockstitch.v1.LoadResponse;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveWritesRequest;
import dev.lockstitch.v1.SessionOrder;
import dev.lockstitch.v1.WalkAncestorsRequest;
import dev.lockstitch.v1.WalkAncestorsResponse;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** The operations on checkpoints, each from its arguments to the content of {@code ok}. */
final class Operations implements AutoCloseable {
  private interface Operation {
    JsonObject run(Arguments arguments) throws Exception;
  }

  private final Map<String, Operation> all =
      Map.ofEntries(
          Map.entry("connect", this::connect),
          Map.entry("save", arguments -> saved(save(arguments).join())),
          Map.entry("save_many", this::saveMany),
          Map.entry("save_concurrently", this::saveMany), // a save uses streams by itself
          Map.entry("edit", this::edit),
          Map.entry("view", arguments -> View.of(latest(arguments))),
          Map.entry("save_writes", this::saveWrites),
          Map.entry("load_latest", this::loadLatest),
          Map.entry("load", this::load),
          Map.entry("load_latest_many", this::loadLatestMany),
          Map.entry("list_sessions", this::listSessions),
          Map.entry("list_checkpoints", this::listCheckpoints),
          Map.entry("walk_ancestors", this::walkAncestors));

  private final SessionOperations sessions = new SessionOperations();
  private final ThreadOperations threads = new ThreadOperations();
  private LockstitchClient client;

  JsonObject run(String name, Arguments arguments) throws Exception {
    Operation operation = all.get(name);
    try {
      if (name.startsWith("plain_")) {
        return threads.run(client, name, arguments);
      }
      return operation == null ? sessions.run(client, name, arguments) : operation.run(arguments);
    } catch (CompletionException error) {
      throw error.getCause() instanceof Exception cause ? cause : error;
    }
  }

  @Override
  public void close() {
    if (client != null) {
      client.close();
    }
  }

  private JsonObject connect(Arguments given) {
    close();
    var builder = LockstitchClient.builder(given.text("target"));
    if (given.has("timeout_ms")) {
      builder.timeout(given.time("timeout_ms"));
    }
    if (given.has("connect_timeout_ms")) {
      builder.connectTimeout(given.time("connect_timeout_ms"));
    }
    given.optionalText("api_key").ifPresent(builder::apiKey);
    if (given.has("tls")) {
      builder.tls(tls(given.object("tls")));
    }
    if (given.has("delta")) {
      builder.delta(given.flag("delta") ? DeltaPolicy.DEFAULT : null);
    }
    if (given.has("retry")) {
      builder.retry(given.flag("retry") ? RetryPolicy.DEFAULT : null);
    }
    threads.clear();
    client = builder.build();
    return new JsonObject();
  }

  private static Tls tls(Arguments given) {
    return new Tls(
        given.optionalText("ca").map(Path::of).orElse(null),
        given.optionalText("cert").map(Path::of).orElse(null),
        given.optionalText("key").map(Path::of).orElse(null),
        given.optionalText("server_name").orElse(null));
  }

  private CompletableFuture<SaveResponse> save(Arguments given) throws Exception {
    try (Scope scope = context(given).makeCurrent()) {
      return client.saveAsync(given.message("checkpoint", Checkpoint.parser()), options(given));
    }
  }

  private JsonObject saveMany(Arguments given) throws Exception {
    List<CompletableFuture<SaveResponse>> answers = new ArrayList<>();
    for (Arguments one : given.objects("saves")) {
      answers.add(save(one));
    }
    JsonArray results = new JsonArray();
    for (CompletableFuture<SaveResponse> answer : answers) {
      results.add(Executor.result(() -> saved(joined(answer))));
    }
    return new Answer().with("results", results).json;
  }

  private JsonObject edit(Arguments given) throws Exception {
    Checkpoint changed = Edit.apply(latest(given), given.object("edit"));
    return saved(client.save(changed, options(given)));
  }

  private Checkpoint latest(Arguments given) {
    LoadLatestResponse latest =
        client.loadLatest(given.text("session_id"), given.text("namespace"), view(given));
    if (!latest.hasCheckpoint()) {
      throw new IllegalStateException("there is no checkpoint");
    }
    return latest.getCheckpoint();
  }

  private JsonObject saveWrites(Arguments given) throws Exception {
    var answer =
        client.saveWrites(
            SaveWritesRequest.newBuilder()
                .setSessionId(given.text("session_id"))
                .setNamespace(given.text("namespace"))
                .setCheckpointId(given.text("checkpoint_id"))
                .addAllWrites(given.messages("writes", PendingWrite.parser()))
                .setLeaseToken(given.u64("lease_token"))
                .build());
    int stored = answer.getStored();
    return new Answer().u64("revision", answer.getRevision()).number("stored", stored).json;
  }

  private JsonObject loadLatest(Arguments given) {
    LockstitchClient hasty =
        given.has("timeout_ms") ? client.withTimeout(given.time("timeout_ms")) : client;
    return loaded(hasty.loadLatest(given.text("session_id"), given.text("namespace"), view(given)));
  }

  private JsonObject load(Arguments given) {
    var request =
        LoadRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setNamespace(given.text("namespace"))
            .setView(view(given));
    if (given.has("step")) {
      request.setStep(given.u64("step"));
    } else {
      request.setCheckpointId(given.text("checkpoint_id"));
    }
    LoadResponse answer = client.load(request.build());
    return loaded(
        LoadLatestResponse.newBuilder()
            .setCheckpoint(answer.getCheckpoint())
            .addAllPendingWrites(answer.getPendingWritesList())
            .setRevision(answer.getRevision())
            .setCheckpointRevision(answer.getCheckpointRevision())
            .setTraceId(answer.getTraceId())
            .build());
  }

  private JsonObject loadLatestMany(Arguments given) throws Exception {
    var requests =
        given.objects("sessions").stream()
            .map(
                one ->
                    LoadLatestRequest.newBuilder()
                        .setSessionId(one.text("session_id"))
                        .setNamespace(one.text("namespace"))
                        .setView(view(given))
                        .build())
            .toList();
    JsonArray answers = new JsonArray();
    try (var all = client.loadLatestOf(requests)) {
      for (LatestOf one : all) {
        JsonObject answer = Executor.result(() -> loaded(one.result()));
        answer.addProperty("session_id", one.sessionId());
        answer.addProperty("namespace", one.namespace());
        answers.add(answer);
      }
    }
    return new Answer().with("answers", answers).json;
  }

  private JsonObject listSessions(Arguments given) {
    boolean byId = given.text("order_by").equals("SESSION_ID");
    var request =
        ListSessionsRequest.newBuilder()
            .setSessionIdPrefix(given.text("session_id_prefix"))
            .putAllLabels(given.map("labels"))
            .setOrderBy(
                byId
                    ? SessionOrder.SESSION_ORDER_SESSION_ID
                    : SessionOrder.SESSION_ORDER_UPDATED_AT)
            .setPageSize(given.number("page_size"));
    var sessions = client.listSessions(request.build()).stream().limit(most(given)).toList();
    return new Answer().messages("sessions", sessions).json;
  }

  private JsonObject listCheckpoints(Arguments given) {
    var request =
        ListCheckpointsRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setBeforeCheckpointId(given.text("before_checkpoint_id"))
            .putAllMetadata(given.map("metadata"))
            .setIncludeWrites(given.flag("include_writes"))
            .setView(view(given))
            .setPageSize(given.number("page_size"));
    given.optionalText("namespace").ifPresent(request::setNamespace);
    given.optionalText("min_step").map(Long::parseUnsignedLong).ifPresent(request::setMinStep);
    given.optionalText("max_step").map(Long::parseUnsignedLong).ifPresent(request::setMaxStep);
    given.optionalText("ran_node").map(Values::node).ifPresent(request::setRanNode);
    given.optionalText("skipped_node").map(Values::node).ifPresent(request::setSkippedNode);
    var items = client.listCheckpoints(request.build()).stream().limit(most(given)).toList();
    return new Answer().list("checkpoints", items, Operations::listed).json;
  }

  private JsonObject walkAncestors(Arguments given) {
    var request =
        WalkAncestorsRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setNamespace(given.text("namespace"))
            .setCheckpointId(given.text("checkpoint_id"))
            .addAllChannels(given.texts("channels"))
            .setIncludeWrites(given.flag("include_writes"))
            .setView(view(given))
            .setLimit(given.number("limit"));
    try (var ancestors = client.walkAncestors(request.build())) {
      return new Answer().list("ancestors", ancestors.stream().toList(), Operations::ancestor).json;
    }
  }

  private static JsonObject ancestor(WalkAncestorsResponse one) {
    return new Answer()
        .message("checkpoint", one.getCheckpoint())
        .messages("pending_writes", one.getPendingWritesList())
        .u64("revision", one.getRevision())
        .json;
  }

  private static JsonObject listed(ListedCheckpoint item) {
    return new Answer()
        .message("checkpoint", item.checkpoint())
        .u64("revision", item.details().getRevision())
        .u64("state_bytes", item.details().getStateBytes())
        .messages("pending_writes", item.details().getPendingWritesList())
        .json;
  }

  static JsonObject saved(SaveResponse answer) {
    return new Answer()
        .text("checkpoint_id", answer.getCheckpointId())
        .u64("revision", answer.getRevision())
        .text("outcome", answer.getOutcome().name().replace("SAVE_OUTCOME_", ""))
        .time("saved_at", answer.getSavedAt())
        .json;
  }

  private static JsonObject loaded(LoadLatestResponse latest) {
    Answer answer = new Answer();
    if (latest.hasCheckpoint()) {
      answer.message("checkpoint", latest.getCheckpoint());
    }
    return answer
        .messages("pending_writes", latest.getPendingWritesList())
        .u64("revision", latest.getRevision())
        .u64("checkpoint_revision", latest.getCheckpointRevision())
        .text("trace_id", latest.getTraceId())
        .json;
  }

  private static SaveOptions options(Arguments given) throws Exception {
    SaveOptions options = SaveOptions.NONE;
    Arguments expected = given.object("expected_latest");
    if (expected.has("checkpoint_id")) {
      options = options.expectCheckpoint(expected.text("checkpoint_id"));
    } else if (expected.has("step")) {
      options = options.expectStep(expected.u64("step"));
    } else if (expected.flag("none")) {
      options = options.expectNone();
    }
    options =
        options
            .withWrites(given.messages("writes", PendingWrite.parser()))
            .withLease(given.u64("lease_token"));
    options = given.has("ttl_ms") ? options.withTtl(given.time("ttl_ms")) : options;
    return given.has("timeout_ms") ? options.withTimeout(given.time("timeout_ms")) : options;
  }

  private static Context context(Arguments given) {
    TextMapGetter<Arguments> getter =
        new TextMapGetter<>() {
          @Override
          public Iterable<String> keys(Arguments carrier) {
            return List.of("traceparent");
          }

          @Override
          public String get(Arguments carrier, String key) {
            return carrier.optionalText(key).orElse(null);
          }
        };
    return W3CTraceContextPropagator.getInstance().extract(Context.root(), given, getter);
  }

  private static CheckpointView view(Arguments given) {
    boolean header = given.text("view").equals("HEADER");
    return header ? CheckpointView.CHECKPOINT_VIEW_HEADER : CheckpointView.CHECKPOINT_VIEW_FULL;
  }

  private static long most(Arguments given) {
    return given.has("max_items") ? given.number("max_items") : Long.MAX_VALUE;
  }

  private static <A> A joined(CompletableFuture<A> answer) throws Exception {
    try {
      return answer.join();
    } catch (CompletionException error) {
      throw error.getCause() instanceof Exception cause ? cause : error;
    }
  }
}
