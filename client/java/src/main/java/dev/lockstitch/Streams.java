package dev.lockstitch;

import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestStreamRequest;
import dev.lockstitch.v1.LoadLatestStreamResponse;
import dev.lockstitch.v1.SessionServiceGrpc;
import dev.lockstitch.v1.WalkAncestorsRequest;
import dev.lockstitch.v1.WalkAncestorsResponse;
import dev.lockstitch.v1.WatchSessionRequest;
import dev.lockstitch.v1.WatchSessionResponse;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** How streams of answers continue where they broke off. */
final class Streams {
  private static final int SESSIONS_PER_CALL = 1000;
  private static final Duration HEARTBEAT = Duration.ofSeconds(10);

  /** A call that is silent for this many heartbeats is dead. */
  private static final int SILENT_HEARTBEATS = 3;

  private Streams() {}

  /** {@code waiting}: the requests, which go as they are answered. */
  static Resumed<LatestOf> loadLatestMany(Caller caller, Map<Integer, LoadLatestRequest> waiting) {
    List<Integer> order = new ArrayList<>();
    return new Resumed<>(
        caller,
        budget -> {
          order.clear();
          waiting.keySet().stream().limit(SESSIONS_PER_CALL).forEach(order::add);
          if (order.isEmpty()) {
            return null;
          }
          var request = LoadLatestStreamRequest.newBuilder();
          order.forEach(place -> request.addRequests(waiting.get(place)));
          var method = CheckpointServiceGrpc.getLoadLatestStreamMethod();
          return caller.transport.stream(method, request.build(), budget, true);
        },
        (LoadLatestStreamResponse answer) -> {
          LoadLatestRequest asked = waiting.remove(order.get(answer.getIndex()));
          return asked == null ? null : new LatestOf(asked, answer);
        },
        () -> order.stream().anyMatch(waiting::containsKey) ? unanswered() : !waiting.isEmpty());
  }

  static Resumed<Ancestor> walkAncestors(Caller caller, WalkAncestorsRequest asked) {
    Set<String> given = new HashSet<>();
    WalkAncestorsRequest.Builder request = asked.toBuilder();
    return new Resumed<>(
        caller,
        budget -> {
          int limit = asked.getLimit();
          if (limit > 0 && given.size() >= limit) {
            return null;
          }
          request.setLimit(limit > 0 ? limit - given.size() : limit);
          var method = CheckpointServiceGrpc.getWalkAncestorsMethod();
          return caller.transport.stream(method, request.build(), budget, true);
        },
        (WalkAncestorsResponse answer) -> {
          String id = answer.getCheckpoint().getCheckpointId();
          request.setCheckpointId(id);
          return given.add(id)
              ? Convert.ancestor(answer)
              : null; // a circle, which a new call cannot know
        },
        () -> false);
  }

  static Resumed<SessionEvent> watch(Caller caller, WatchSessionRequest asked) {
    Duration heartbeat = asked.hasHeartbeat() ? Values.duration(asked.getHeartbeat()) : HEARTBEAT;
    WatchSessionRequest.Builder request =
        asked.toBuilder().setHeartbeat(Values.duration(heartbeat));
    Resumed<SessionEvent> answers =
        new Resumed<>(
            caller,
            budget ->
                caller.transport.stream(
                    SessionServiceGrpc.getWatchSessionMethod(), request.build(), budget, false),
            (WatchSessionResponse answer) -> {
              request.setResumeToken(answer.getResumeToken());
              return Convert.event(asked.getSessionId(), answer);
            },
            () -> {
              throw Errors.of(Code.UNAVAILABLE, "the server has ended the call", null);
            });
    return answers.silentAtMost(heartbeat.multipliedBy(SILENT_HEARTBEATS));
  }

  private static boolean unanswered() {
    throw Errors.of(Code.INTERNAL, "sessions were left without an answer", null);
  }
}
