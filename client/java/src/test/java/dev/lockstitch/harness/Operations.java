package dev.lockstitch.harness;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import dev.lockstitch.Ancestor;
import dev.lockstitch.AncestorQuery;
import dev.lockstitch.CheckpointFilter;
import dev.lockstitch.CheckpointRef;
import dev.lockstitch.DamagedCheckpoint;
import dev.lockstitch.DeltaPolicy;
import dev.lockstitch.Latest;
import dev.lockstitch.LatestOf;
import dev.lockstitch.ListedCheckpoint;
import dev.lockstitch.LoadOptions;
import dev.lockstitch.Loaded;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.RetryPolicy;
import dev.lockstitch.SaveOptions;
import dev.lockstitch.Saved;
import dev.lockstitch.SessionFilter;
import dev.lockstitch.SessionOrder;
import dev.lockstitch.SessionRef;
import dev.lockstitch.Tls;
import dev.lockstitch.Values;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
          Map.entry("list_checkpoints_page", this::listCheckpointsPage),
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

  private CompletableFuture<Saved> save(Arguments given) throws Exception {
    try (Scope scope = context(given).makeCurrent()) {
      return client.saveAsync(given.message("checkpoint", Checkpoint.parser()), options(given));
    }
  }

  private JsonObject saveMany(Arguments given) throws Exception {
    List<CompletableFuture<Saved>> answers = new ArrayList<>();
    for (Arguments one : given.objects("saves")) {
      answers.add(save(one));
    }
    JsonArray results = new JsonArray();
    for (CompletableFuture<Saved> answer : answers) {
      results.add(Executor.result(() -> saved(joined(answer))));
    }
    return new Answer().with("results", results).json;
  }

  private JsonObject edit(Arguments given) throws Exception {
    Checkpoint changed = Edit.apply(latest(given), given.object("edit"));
    return saved(client.save(changed, options(given)));
  }

  private Checkpoint latest(Arguments given) {
    var latest = client.loadLatest(given.text("session_id"), loadOptions(given));
    return latest.checkpoint().orElseThrow();
  }

  private JsonObject saveWrites(Arguments given) throws Exception {
    var writes = given.messages("writes", PendingWrite.parser());
    var checkpoint =
        new CheckpointRef(
            given.text("session_id"), given.text("namespace"), given.text("checkpoint_id"));
    var answer = client.saveWrites(checkpoint, writes, given.u64("lease_token"));
    return new Answer().u64("revision", answer.revision()).number("stored", answer.stored()).json;
  }

  private JsonObject loadLatest(Arguments given) {
    LockstitchClient hasty =
        given.has("timeout_ms") ? client.withTimeout(given.time("timeout_ms")) : client;
    return loaded(hasty.loadLatest(given.text("session_id"), loadOptions(given)));
  }

  private JsonObject load(Arguments given) {
    String session = given.text("session_id");
    Loaded answer =
        given.has("step")
            ? client.load(session, given.u64("step"), loadOptions(given))
            : client.load(session, given.text("checkpoint_id"), loadOptions(given));
    return loaded(
        new Latest(
            Optional.of(answer.checkpoint()),
            answer.pendingWrites(),
            answer.revision(),
            answer.checkpointRevision(),
            answer.traceId()));
  }

  private JsonObject loadLatestMany(Arguments given) throws Exception {
    var sessions =
        given.objects("sessions").stream()
            .map(one -> new SessionRef(one.text("session_id"), one.text("namespace")))
            .toList();
    JsonArray answers = new JsonArray();
    try (var all = client.loadLatestOf(sessions, loadOptions(given))) {
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
    SessionFilter filter =
        SessionFilter.ALL
            .prefix(given.text("session_id_prefix"))
            .orderBy(byId ? SessionOrder.SESSION_ID : SessionOrder.UPDATED_AT)
            .pageSize(given.number("page_size"))
            .from(given.text("page_token"));
    filter =
        given.has("updated_since") ? filter.updatedSince(given.instant("updated_since")) : filter;
    filter =
        given.has("updated_before")
            ? filter.updatedBefore(given.instant("updated_before"))
            : filter;
    for (var label : given.map("labels").entrySet()) {
      filter = filter.label(label.getKey(), label.getValue());
    }
    var sessions = client.listSessions(filter).stream().limit(most(given));
    return new Answer().messages("sessions", sessions.map(Messages::of).toList()).json;
  }

  private JsonObject listCheckpoints(Arguments given) {
    var items = client.listCheckpoints(filter(given)).stream().limit(most(given)).toList();
    return new Answer().list("checkpoints", items, Operations::listed).json;
  }

  private JsonObject listCheckpointsPage(Arguments given) throws Exception {
    var page = client.listCheckpoints(filter(given)).pages().iterator().next();
    JsonArray damaged = new JsonArray();
    for (DamagedCheckpoint one : page.damaged()) {
      JsonObject named =
          Executor.result(
              () -> {
                throw one.error();
              });
      named.addProperty("session_id", one.checkpoint().sessionId());
      named.addProperty("namespace", one.checkpoint().namespace());
      named.addProperty("checkpoint_id", one.checkpoint().checkpointId());
      damaged.add(named);
    }
    return new Answer()
        .list("checkpoints", page.items(), Operations::detailed)
        .with("damaged", damaged)
        .u64("total_size", page.totalSize().orElse(0))
        .text("next_page_token", page.nextPageToken())
        .json;
  }

  private static CheckpointFilter filter(Arguments given) {
    CheckpointFilter filter =
        CheckpointFilter.of(given.text("session_id"))
            .before(given.text("before_checkpoint_id"))
            .channels(given.texts("channels"))
            .pageSize(given.number("page_size"))
            .from(given.text("page_token"));
    List<String> writes = given.texts("write_channels");
    filter = given.flag("include_writes") ? filter.writes(writes) : filter;
    filter = given.flag("include_total") ? filter.total() : filter;
    filter = given.flag("include_channel_sizes") ? filter.channelSizes() : filter;
    filter = given.flag("skip_damaged") ? filter.skipDamaged() : filter;
    filter = isHeader(given) ? filter.headers() : filter;
    filter = given.has("namespace") ? filter.namespace(given.text("namespace")) : filter;
    filter = given.has("min_step") ? filter.fromStep(given.u64("min_step")) : filter;
    filter = given.has("max_step") ? filter.toStep(given.u64("max_step")) : filter;
    filter = given.has("ran_node") ? filter.ran(Values.node(given.text("ran_node"))) : filter;
    filter =
        given.has("skipped_node")
            ? filter.skipped(Values.node(given.text("skipped_node")))
            : filter;
    for (var entry : given.map("metadata").entrySet()) {
      filter = filter.metadata(entry.getKey(), entry.getValue());
    }
    return filter;
  }

  private JsonObject walkAncestors(Arguments given) {
    AncestorQuery query =
        AncestorQuery.of(given.text("session_id"))
            .namespace(given.text("namespace"))
            .from(given.text("checkpoint_id"))
            .channels(given.texts("channels"))
            .limit(given.number("limit"));
    List<String> writes = given.texts("write_channels");
    query = given.flag("include_writes") ? query.writes(writes) : query;
    query = isHeader(given) ? query.headers() : query;
    try (var ancestors = client.walkAncestors(query)) {
      return new Answer().list("ancestors", ancestors.stream().toList(), Operations::ancestor).json;
    }
  }

  private static JsonObject ancestor(Ancestor one) {
    return new Answer()
        .message("checkpoint", one.checkpoint())
        .messages("pending_writes", one.pendingWrites())
        .u64("revision", one.revision())
        .json;
  }

  private static JsonObject detailed(ListedCheckpoint item) {
    return new Answer()
        .message("checkpoint", item.checkpoint())
        .message("details", Messages.of(item))
        .json;
  }

  private static JsonObject listed(ListedCheckpoint item) {
    return new Answer()
        .message("checkpoint", item.checkpoint())
        .u64("revision", item.revision())
        .u64("state_bytes", item.stateBytes())
        .messages("pending_writes", item.pendingWrites())
        .json;
  }

  static JsonObject saved(Saved answer) {
    return new Answer()
        .text("checkpoint_id", answer.checkpointId())
        .u64("revision", answer.revision())
        .text("outcome", answer.outcome().name())
        .time("saved_at", answer.savedAt())
        .json;
  }

  private static JsonObject loaded(Latest latest) {
    Answer answer = new Answer();
    latest.checkpoint().ifPresent(checkpoint -> answer.message("checkpoint", checkpoint));
    return answer
        .messages("pending_writes", latest.pendingWrites())
        .u64("revision", latest.revision())
        .u64("checkpoint_revision", latest.checkpointRevision())
        .text("trace_id", latest.traceId().orElse(""))
        .json;
  }

  private static SaveOptions options(Arguments given) throws Exception {
    SaveOptions options = SaveOptions.NONE;
    Arguments expected = given.object("expected_latest");
    if (expected.has("revision")) {
      options = options.expectCheckpoint(expected.text("checkpoint_id"), expected.u64("revision"));
    } else if (expected.has("checkpoint_id")) {
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

  private static LoadOptions loadOptions(Arguments given) {
    LoadOptions options =
        LoadOptions.ALL.namespace(given.text("namespace")).channels(given.texts("channels"));
    return isHeader(given) ? options.headers() : options;
  }

  private static boolean isHeader(Arguments given) {
    return given.text("view").equals("HEADER");
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
