package dev.lockstitch.harness;

import com.google.gson.JsonObject;
import dev.lockstitch.CheckpointRef;
import dev.lockstitch.CopyOptions;
import dev.lockstitch.DeletedCheckpoints;
import dev.lockstitch.Lease;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.PruneOptions;
import dev.lockstitch.Retention;
import dev.lockstitch.SessionEvent;
import dev.lockstitch.SessionRunner;
import dev.lockstitch.SessionUpdate;
import dev.lockstitch.WatchOptions;
import dev.lockstitch.v1.Checkpoint;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The operations on sessions, each from its arguments to the content of {@code ok}. */
final class SessionOperations {
  private interface Operation {
    JsonObject run(LockstitchClient client, Arguments arguments) throws Exception;
  }

  private final Map<String, Operation> all =
      Map.ofEntries(
          Map.entry("get_session", SessionOperations::get),
          Map.entry("update_session", SessionOperations::update),
          Map.entry("delete_sessions", SessionOperations::delete),
          Map.entry("delete_checkpoints", SessionOperations::deleteCheckpoints),
          Map.entry("copy_session", SessionOperations::copy),
          Map.entry("prune_sessions", SessionOperations::prune),
          Map.entry("watch_session", SessionOperations::watch),
          Map.entry("acquire_lease", SessionOperations::acquire),
          Map.entry("renew_lease", SessionOperations::renew),
          Map.entry("release_lease", SessionOperations::release),
          Map.entry("break_lease", SessionOperations::breakLease),
          Map.entry("runner_start", this::startRunner),
          Map.entry("runner_save", this::saveByRunner),
          Map.entry(
              "runner_stop",
              (client, given) -> new Answer().flag("released", runner().release()).json));

  private SessionRunner running;

  JsonObject run(LockstitchClient client, String name, Arguments arguments) throws Exception {
    Operation operation = all.get(name);
    if (operation == null) {
      throw new IllegalArgumentException("there is no operation " + name);
    }
    return operation.run(client, arguments);
  }

  private static JsonObject get(LockstitchClient client, Arguments given) {
    return new Answer()
        .message("session", Messages.of(client.getSession(given.text("session_id"))))
        .json;
  }

  private static JsonObject update(LockstitchClient client, Arguments given) {
    SessionUpdate update = SessionUpdate.NONE.withLease(given.u64("lease_token"));
    for (var label : given.map("set_labels").entrySet()) {
      update = update.label(label.getKey(), label.getValue());
    }
    for (String label : given.texts("remove_labels")) {
      update = update.removeLabel(label);
    }
    update = given.flag("clear_ttl") ? update.clearTtl() : update;
    update = given.flag("clear_retention") ? update.clearRetention() : update;
    update = given.has("ttl_ms") ? update.ttl(given.time("ttl_ms")) : update;
    update = given.has("retention") ? update.retention(retention(given)) : update;
    var session = client.updateSession(given.text("session_id"), update);
    return new Answer().message("session", Messages.of(session)).json;
  }

  private static JsonObject delete(LockstitchClient client, Arguments given) {
    List<String> ids = given.texts("session_ids");
    int deleted =
        given.has("tombstone_ms")
            ? client.deleteSessions(ids, given.time("tombstone_ms"))
            : client.deleteSessions(ids);
    return new Answer().number("deleted", deleted).json;
  }

  private static JsonObject deleteCheckpoints(LockstitchClient client, Arguments given) {
    String session = given.text("session_id");
    long token = given.u64("lease_token");
    Arguments after = given.object("after");
    DeletedCheckpoints answer =
        given.has("after")
            ? client.rewind(
                new CheckpointRef(session, after.text("namespace"), after.text("checkpoint_id")),
                token)
            : client.deleteCheckpoints(session, given.map("metadata"), token);
    return new Answer().u64("deleted", answer.deleted()).u64("revision", answer.revision()).json;
  }

  private static JsonObject copy(LockstitchClient client, Arguments given) {
    CopyOptions options = CopyOptions.ALL;
    for (var label : given.map("labels").entrySet()) {
      options = options.label(label.getKey(), label.getValue());
    }
    options = given.has("ttl_ms") ? options.ttl(given.time("ttl_ms")) : options;
    if (given.has("at")) {
      Arguments at = given.object("at");
      options = options.upTo(at.text("namespace"), at.text("checkpoint_id"));
    }
    var answer = client.copySession(given.text("source"), given.text("target"), options);
    return new Answer()
        .u64("revision", answer.revision())
        .u64("checkpoint_count", answer.checkpointCount())
        .json;
  }

  private static JsonObject prune(LockstitchClient client, Arguments given) {
    PruneOptions options = PruneOptions.NONE.pageSize(given.number("page_size"));
    options = given.flag("dry_run") ? options.dryRun() : options;
    options = given.has("retention") ? options.retention(retention(given)) : options;
    var sum = client.pruneSessions(given.texts("session_ids"), options);
    return new Answer()
        .u64("checkpoints", sum.checkpoints())
        .u64("bytes", sum.bytes())
        .u64("sessions", sum.sessions())
        .json;
  }

  private static JsonObject watch(LockstitchClient client, Arguments given) {
    WatchOptions options = WatchOptions.NONE.after(given.text("resume_token"));
    options = given.has("heartbeat_ms") ? options.heartbeat(given.time("heartbeat_ms")) : options;
    List<SessionEvent> events = new ArrayList<>();
    String token = "";
    try (var answers = client.watchSession(given.text("session_id"), options)) {
      for (SessionEvent event : answers) {
        token = event.resumeToken();
        if (!(event instanceof SessionEvent.Heartbeat)) {
          events.add(event);
        }
        if (events.size() >= given.number("count")) {
          break;
        }
      }
    }
    var messages = events.stream().map(Messages::of).toList();
    return new Answer().messages("events", messages).text("resume_token", token).json;
  }

  private static JsonObject acquire(LockstitchClient client, Arguments given) {
    String session = given.text("session_id");
    String holder = given.text("holder");
    if (given.has("acquisition_id")) {
      String id = given.text("acquisition_id");
      return lease(client.acquireLease(session, holder, given.time("ttl_ms"), id));
    }
    return lease(
        given.has("ttl_ms")
            ? client.acquireLease(session, holder, given.time("ttl_ms"))
            : client.acquireLease(session, holder));
  }

  private static JsonObject renew(LockstitchClient client, Arguments given) {
    String session = given.text("session_id");
    long token = given.u64("lease_token");
    return lease(
        given.has("ttl_ms")
            ? client.renewLease(session, token, given.time("ttl_ms"))
            : client.renewLease(session, token));
  }

  private static JsonObject release(LockstitchClient client, Arguments given) {
    boolean released = client.releaseLease(given.text("session_id"), given.u64("lease_token"));
    return new Answer().flag("released", released).json;
  }

  private static JsonObject breakLease(LockstitchClient client, Arguments given) {
    String session = given.text("session_id");
    boolean broken =
        given.has("acquired_at")
            ? client.breakLease(session, given.instant("acquired_at"))
            : client.breakLease(session);
    return new Answer().flag("broken", broken).json;
  }

  private JsonObject startRunner(LockstitchClient client, Arguments given) {
    Duration ttl = given.has("ttl_ms") ? given.time("ttl_ms") : Duration.ofSeconds(30);
    running = client.run(given.text("session_id"), given.text("holder"), ttl);
    Answer answer = new Answer().u64("token", running.token());
    running.checkpoint().ifPresent(checkpoint -> answer.message("checkpoint", checkpoint));
    return answer.json;
  }

  private JsonObject saveByRunner(LockstitchClient client, Arguments given) throws Exception {
    return Operations.saved(runner().save(given.message("checkpoint", Checkpoint.parser())));
  }

  private SessionRunner runner() {
    if (running == null) {
      throw new IllegalStateException("no runner was started");
    }
    return running;
  }

  private static JsonObject lease(Lease lease) {
    return new Answer()
        .u64("token", lease.token())
        .text("holder", lease.holder())
        .number("ttl_ms", lease.ttl().orElseThrow().toMillis())
        .time("acquired_at", lease.acquiredAt())
        .time("expire_at", lease.expireAt())
        .json;
  }

  private static Retention retention(Arguments given) {
    Arguments policy = given.object("retention");
    return new Retention(policy.number("keep_last"), policy.optionalTime("max_age_ms"));
  }
}
