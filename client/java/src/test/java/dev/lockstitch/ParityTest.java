package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.SaveStreamRequest;
import dev.lockstitch.v1.TypedBlob;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What every client offers, as Java has it. */
@Timeout(300)
class ParityTest extends WithServer {
  private static final Duration TTL = Duration.ofSeconds(60);

  private static PendingWrite write(String task) {
    TypedBlob value =
        TypedBlob.newBuilder().setType("json").setData(ByteString.copyFromUtf8("1")).build();
    return PendingWrite.newBuilder().setTaskId(task).setChannel("answer").setValue(value).build();
  }

  @Test
  void aRewindDeletesWhatCameAfter() {
    for (int step = 0; step < 3; step++) {
      client.save(at(step));
    }
    assertEquals(2, client.rewind(session, "0".repeat(20)).deleted());
    assertEquals(0, client.loadLatest(session).checkpoint().orElseThrow().getStep());
    assertThrows(NotFoundException.class, () -> client.rewind(session, "none"));
  }

  @Test
  void filtersAreMethods() {
    Checkpoint.Builder noted = at(0).toBuilder().putMetadata("kind", "\"a\"");
    client.save(noted.addRanNodes(Values.node("plan")).build());
    client.save(at(1).toBuilder().addSkippedNodes(Values.node("plan")).build());
    client.save(at(2).toBuilder().setNamespace("child").build());
    client.updateSession(session, SessionUpdate.NONE.label("k", "v"));
    SessionFilter mine = SessionFilter.ALL.prefix(session);
    assertEquals(List.of(session), ids(mine.label("k", "v").pageSize(1)));
    assertEquals(List.of(), ids(mine.label("k", "other")));
    assertEquals(List.of(), ids(mine.updatedBefore(Instant.EPOCH)));
    assertEquals(List.of(session), ids(mine.updatedSince(Instant.EPOCH)));
    CheckpointFilter all = CheckpointFilter.of(session).headers();
    CheckpointFilter root = all.namespace("");
    assertEquals(List.of(1L, 0L), steps(root));
    assertEquals(List.of(2L), steps(all.namespace("child")));
    assertEquals(List.of(1L), steps(root.fromStep(1)));
    assertEquals(List.of(0L), steps(root.toStep(0).pageSize(1)));
    assertEquals(List.of(0L), steps(root.metadata("kind", "\"a\"")));
    assertEquals(List.of(0L), steps(root.ran(Values.node("plan"))));
    assertEquals(List.of(1L), steps(root.skipped(Values.node("plan"))));
    assertEquals(List.of(0L), steps(root.before("0".repeat(19) + "1")));
    var page = client.listCheckpoints(root.total().pageSize(1)).pages().iterator().next();
    assertEquals(2, page.totalSize().getAsLong());
    assertEquals(List.of(0L), steps(root.total().from(page.nextPageToken())));
  }

  private static List<String> ids(SessionFilter filter) {
    return client.listSessions(filter).stream().map(SessionSummary::sessionId).toList();
  }

  private static List<Long> steps(CheckpointFilter filter) {
    return client.listCheckpoints(filter).stream()
        .map(listed -> listed.checkpoint().getStep())
        .toList();
  }

  @Test
  void aRevisionTellsCheckpointsOfOneIdApart() {
    client.save(at(1));
    Saved seen = client.save(at(2));
    client.rewind(session, "0".repeat(19) + "1");
    Saved now = client.save(at(2).toBuilder().putMetadata("other", "1").build());
    SaveOptions stale = SaveOptions.NONE.expectCheckpoint(seen.checkpointId(), seen.revision());
    assertThrows(ExpectedLatestMismatchException.class, () -> client.save(at(3), stale));
    client.save(at(3), SaveOptions.NONE.expectCheckpoint(now.checkpointId(), now.revision()));
  }

  @Test
  void savesOnStreamsGoInBatches() {
    Queue<Integer> sizes = new ConcurrentLinkedQueue<>();
    ClientInterceptor counting = new Counting(sizes::add);
    try (LockstitchClient own = server.client().intercept(counting).build()) {
      for (int round = 0; round < 2; round++) { // the first response says that batches are taken
        List<CompletableFuture<Saved>> saves = new ArrayList<>();
        for (int number = 0; number < 200; number++) {
          Checkpoint one = at(round).toBuilder().setSessionId(session + number).build();
          saves.add(own.saveAsync(one, SaveOptions.NONE));
        }
        saves.forEach(CompletableFuture::join);
      }
    }
    assertTrue(sizes.stream().anyMatch(size -> size > 1), sizes::toString);
  }

  @Test
  void aRunnerWaitsForTheLease() throws Exception {
    SessionRunner first = client.run(session, "first", TTL);
    first.save(at(0));
    CountDownLatch refused = new CountDownLatch(1);
    ClientInterceptor counting =
        new Seeing(method -> refused.countDown(), "AcquireLease"); // the first attempt has begun
    try (LockstitchClient other = server.client().intercept(counting).build()) {
      var second =
          CompletableFuture.supplyAsync(
              () -> other.run(session, "second", TTL, Duration.ofSeconds(60)));
      refused.await();
      assertThrows(LeaseHeldException.class, () -> client.run(session, "third", TTL));
      first.close();
      try (SessionRunner runner = second.get()) {
        assertEquals(0, runner.checkpoint().orElseThrow().getStep());
      }
    }
  }

  @Test
  void aRunnerStoresPendingWritesUnderItsLease() {
    SessionRunner runner = client.run(session, "first", TTL);
    String id = runner.save(at(0)).checkpointId();
    assertEquals(1, runner.saveWrites(id, List.of(write("t1"))).stored());
    assertEquals("t1", client.loadLatest(session).pendingWrites().get(0).getTaskId());
    assertTrue(client.breakLease(session));
    assertThrows(LeaseLostException.class, () -> runner.saveWrites(id, List.of(write("t2"))));
    assertInstanceOf(LeaseLostException.class, runner.lost().join());
    assertThrows(LeaseLostException.class, () -> runner.save(at(1)));
    assertEquals(1, client.loadLatest(session).pendingWrites().size());
    runner.close();
  }

  @Test
  void allCallsHaveFutures() throws Exception {
    AsyncCalls calls = client.async();
    calls.save(at(0)).get();
    calls.save(at(1), SaveOptions.NONE.expectStep(0)).get();
    assertEquals(1, calls.loadLatest(session).get().checkpoint().orElseThrow().getStep());
    assertEquals(0, calls.load(session, 0).get().checkpoint().getStep());
    assertEquals(1, calls.load(session, "0".repeat(19) + "1").get().checkpoint().getStep());
    assertEquals(2, calls.listCheckpoints(CheckpointFilter.of(session)).get().items().size());
    assertEquals(1, calls.listSessions(SessionFilter.ALL.prefix(session)).get().items().size());
    long token = calls.acquireLease(session, "me", TTL).get().token();
    assertTrue(calls.renewLease(session, token).get().expireAt().isAfter(Instant.EPOCH));
    assertTrue(calls.releaseLease(session, token).get());
    assertFalse(calls.breakLease(session).get());
    String copy = session + "-copy";
    assertEquals(2, calls.copySession(session, copy).get().checkpointCount());
    var prune = PruneOptions.NONE.retention(Retention.last(1));
    assertEquals(1, calls.pruneSessions(List.of(copy), prune).get().checkpoints());
    assertEquals(1, calls.rewind(session, "0".repeat(20)).get().deleted());
    assertEquals(1, calls.deleteSessions(List.of(copy)).get());
    var missing = calls.getSession(copy).handle((given, error) -> error).get();
    assertInstanceOf(SessionNotFoundException.class, missing);
  }

  @Test
  void interceptorsSeeEveryCall() {
    Queue<String> seen = new ConcurrentLinkedQueue<>();
    ClientInterceptor first = new Seeing(method -> seen.add("1 " + method), "");
    ClientInterceptor second = new Seeing(method -> seen.add("2 " + method), "");
    try (LockstitchClient own = server.client().intercept(first).intercept(second).build()) {
      own.save(at(0));
      own.loadLatest(session);
    }
    assertEquals(List.of("1 Save", "2 Save", "1 LoadLatest", "2 LoadLatest"), List.copyOf(seen));
  }

  @Test
  void aKeyMayChangeFromCallToCall() throws Exception {
    AtomicInteger calls = new AtomicInteger();
    try (Scripted scripted = new Scripted(CancelledTest.Way.WATCH.method);
        LockstitchClient keyed =
            LockstitchClient.builder(scripted.target())
                .apiKey(
                    () -> {
                      int number = calls.incrementAndGet();
                      return number == 3 ? "secret\n" : "key-" + number;
                    })
                .build()) {
      keyed.save(at(0));
      keyed.save(at(1));
      var error = assertThrows(UnauthenticatedException.class, () -> keyed.save(at(2)));
      assertFalse(error.getMessage().contains("secret"), error.getMessage());
      assertTrue(error.getMessage().contains("the source of the key failed"), error.getMessage());
      assertEquals(List.of("Bearer key-1", "Bearer key-2"), List.copyOf(scripted.keys));
    }
    var clear = LockstitchClient.builder("db.example:1").apiKey(() -> "key");
    assertThrows(IllegalArgumentException.class, clear::build);
  }

  /** Tells how many saves each message of a stream has, if it is a batch; else 0. */
  private record Counting(java.util.function.Consumer<Integer> see) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void sendMessage(Q message) {
          if (message instanceof SaveStreamRequest saves) {
            see.accept(saves.getBatchCount());
          }
          super.sendMessage(message);
        }
      };
    }
  }

  /** Tells the names of methods that are called; {@code only}: "" for all of them. */
  private record Seeing(java.util.function.Consumer<String> see, String only)
      implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      String name = method.getBareMethodName();
      if (only.isEmpty() || only.equals(name)) {
        see.accept(name);
      }
      return next.newCall(method, options);
    }
  }
}
