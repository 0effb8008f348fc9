package dev.lockstitch.harness;

import com.google.gson.JsonObject;
import dev.lockstitch.LockstitchClient;
import dev.lockstitch.SessionRunner;
import dev.lockstitch.v1.AcquireLeaseRequest;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointRef;
import dev.lockstitch.v1.CopySessionRequest;
import dev.lockstitch.v1.DeleteCheckpointsRequest;
import dev.lockstitch.v1.DeleteSessionsRequest;
import dev.lockstitch.v1.Lease;
import dev.lockstitch.v1.MetadataFilter;
import dev.lockstitch.v1.PruneSessionsRequest;
import dev.lockstitch.v1.RenewLeaseRequest;
import dev.lockstitch.v1.RetentionPolicy;
import dev.lockstitch.v1.UpdateSessionRequest;
import dev.lockstitch.v1.WatchSessionRequest;
import dev.lockstitch.v1.WatchSessionResponse;
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
    return new Answer().message("session", client.getSession(given.text("session_id"))).json;
  }

  private static JsonObject update(LockstitchClient client, Arguments given) {
    var request =
        UpdateSessionRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .putAllSetLabels(given.map("set_labels"))
            .addAllRemoveLabels(given.texts("remove_labels"))
            .setClearTtl(given.flag("clear_ttl"))
            .setClearRetention(given.flag("clear_retention"))
            .setLeaseToken(given.u64("lease_token"));
    given.optionalTime("ttl_ms").ifPresent(request::setTtl);
    if (given.has("retention")) {
      request.setRetention(retention(given));
    }
    return new Answer().message("session", client.updateSession(request.build())).json;
  }

  private static JsonObject delete(LockstitchClient client, Arguments given) {
    var request = DeleteSessionsRequest.newBuilder().addAllSessionIds(given.texts("session_ids"));
    given.optionalTime("tombstone_ms").ifPresent(request::setTombstone);
    return new Answer().number("deleted", client.deleteSessions(request.build())).json;
  }

  private static JsonObject deleteCheckpoints(LockstitchClient client, Arguments given) {
    var request =
        DeleteCheckpointsRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setLeaseToken(given.u64("lease_token"));
    if (given.has("after")) {
      request.setAfter(reference(given.object("after")));
    } else {
      request.setMetadata(MetadataFilter.newBuilder().putAllEntries(given.map("metadata")));
    }
    var answer = client.deleteCheckpoints(request.build());
    return new Answer()
        .u64("deleted", answer.getDeleted())
        .u64("revision", answer.getRevision())
        .json;
  }

  private static JsonObject copy(LockstitchClient client, Arguments given) {
    var request =
        CopySessionRequest.newBuilder()
            .setSourceSessionId(given.text("source"))
            .setTargetSessionId(given.text("target"))
            .putAllLabels(given.map("labels"));
    given.optionalTime("ttl_ms").ifPresent(request::setTtl);
    if (given.has("at")) {
      request.setAt(reference(given.object("at")));
    }
    var answer = client.copySession(request.build());
    long count = answer.getCheckpointCount();
    return new Answer().u64("revision", answer.getRevision()).u64("checkpoint_count", count).json;
  }

  private static JsonObject prune(LockstitchClient client, Arguments given) {
    var request =
        PruneSessionsRequest.newBuilder()
            .addAllSessionIds(given.texts("session_ids"))
            .setDryRun(given.flag("dry_run"));
    if (given.has("retention")) {
      request.setRetention(retention(given));
    }
    var sum = client.pruneSessions(request.build());
    return new Answer()
        .u64("checkpoints", sum.getCheckpoints())
        .u64("bytes", sum.getBytes())
        .u64("sessions", sum.getSessions())
        .json;
  }

  private static JsonObject watch(LockstitchClient client, Arguments given) {
    var request =
        WatchSessionRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setResumeToken(given.text("resume_token"));
    given.optionalTime("heartbeat_ms").ifPresent(request::setHeartbeat);
    List<WatchSessionResponse> events = new ArrayList<>();
    String token = "";
    try (var answers = client.watchSession(request.build())) {
      for (WatchSessionResponse answer : answers) {
        token = answer.getResumeToken();
        if (!answer.hasHeartbeat()) {
          events.add(answer);
        }
        if (events.size() >= given.number("count")) {
          break;
        }
      }
    }
    return new Answer().messages("events", events).text("resume_token", token).json;
  }

  private static JsonObject acquire(LockstitchClient client, Arguments given) {
    var request =
        AcquireLeaseRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setHolder(given.text("holder"));
    given.optionalTime("ttl_ms").ifPresent(request::setTtl);
    var answer = client.acquireLease(request.build());
    return lease(answer.getLease(), answer.getTtl());
  }

  private static JsonObject renew(LockstitchClient client, Arguments given) {
    var request =
        RenewLeaseRequest.newBuilder()
            .setSessionId(given.text("session_id"))
            .setLeaseToken(given.u64("lease_token"));
    given.optionalTime("ttl_ms").ifPresent(request::setTtl);
    var answer = client.renewLease(request.build());
    return lease(answer.getLease(), answer.getTtl());
  }

  private static JsonObject release(LockstitchClient client, Arguments given) {
    boolean released = client.releaseLease(given.text("session_id"), given.u64("lease_token"));
    return new Answer().flag("released", released).json;
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

  private static JsonObject lease(Lease lease, com.google.protobuf.Duration ttl) {
    long millis = ttl.getSeconds() * 1000 + ttl.getNanos() / 1_000_000;
    return new Answer()
        .u64("token", lease.getToken())
        .text("holder", lease.getHolder())
        .number("ttl_ms", millis)
        .json;
  }

  private static RetentionPolicy retention(Arguments given) {
    Arguments policy = given.object("retention");
    var retention = RetentionPolicy.newBuilder().setKeepLast(policy.number("keep_last"));
    policy.optionalTime("max_age_ms").ifPresent(retention::setMaxAge);
    return retention.build();
  }

  private static CheckpointRef reference(Arguments given) {
    return CheckpointRef.newBuilder()
        .setNamespace(given.text("namespace"))
        .setCheckpointId(given.text("checkpoint_id"))
        .build();
  }
}
