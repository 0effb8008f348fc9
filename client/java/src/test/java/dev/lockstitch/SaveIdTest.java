package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.SaveId;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveStreamRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Saves that arrive late, that are repeated, and that two programs make at the same time. */
@Timeout(300)
class SaveIdTest {
  private static final SaveOptions HASTY = SaveOptions.NONE.withTimeout(Duration.ofSeconds(1));

  private static Checkpoint said(String text) {
    Checkpoint.Builder checkpoint = Checkpoint.newBuilder().setSessionId("s").setStep(5);
    checkpoint.getStateBuilder().getMessagesBuilder().addItems(Values.message("user", text));
    return checkpoint.build();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aSaveThatWasGivenUpOverwritesNoLaterOne(boolean stream) throws Exception {
    Sent sent = new Sent();
    try (Server server = Server.started();
        LockstitchClient client = server.client().stream(stream).intercept(sent).build()) {
      client.save(Checkpoint.newBuilder().setSessionId("warm").build());
      server.signal("STOP");
      Checkpoint beside = Checkpoint.newBuilder().setSessionId("beside").build();
      var other = client.saveAsync(beside, SaveOptions.NONE); // so that they share a stream
      assertThrows(DeadlineExceededException.class, () -> client.save(said("old"), HASTY));
      var instead = client.saveAsync(said("new"), SaveOptions.NONE);
      server.signal("CONT");
      var outcomes = List.of(SaveOutcome.CREATED, SaveOutcome.REPLACED);
      assertTrue(outcomes.contains(instead.get().outcome()), instead.get().toString());
      other.get();
      SaveRequest old = sent.with("old").get(0);
      try (LockstitchClient late = server.client().delta(null).build()) {
        var method = CheckpointServiceGrpc.getSaveMethod();
        Caller caller = late.caller();
        assertThrows(SupersededException.class, () -> caller.call(method, old, null));
      }
      Checkpoint stored = client.loadLatest("s").checkpoint().orElseThrow();
      assertEquals("new", stored.getState().getMessages().getItems(0).getContent());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aSaveOfUnknownOutcomeCanBeRepeatedOnItsCondition(boolean stream) throws Exception {
    Sent sent = new Sent();
    SaveOptions first = SaveOptions.NONE.expectNone();
    try (Server server = Server.started();
        LockstitchClient client = server.client().stream(stream).intercept(sent).build()) {
      client.save(Checkpoint.newBuilder().setSessionId("warm").build());
      server.signal("STOP");
      Checkpoint beside = Checkpoint.newBuilder().setSessionId("beside").build();
      var other = client.saveAsync(beside, SaveOptions.NONE);
      assertThrows(
          DeadlineExceededException.class,
          () -> client.save(said("same"), first.withTimeout(Duration.ofSeconds(1))));
      server.signal("CONT");
      client.save(said("same"), first); // CREATED or UNCHANGED
      other.get();
      assertEquals(1, sent.with("same").stream().map(SaveRequest::getSaveId).distinct().count());
      SaveId id = sent.with("same").get(0).getSaveId();
      assertThrows(ExpectedLatestMismatchException.class, () -> client.save(said("same"), first));
      List<SaveRequest> all = sent.with("same");
      assertNotEquals(id, all.get(all.size() - 1).getSaveId()); // that outcome was known
    }
  }

  @Test
  void ofEqualSavesOnOneConditionOneSucceeds() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = server.client().build();
        LockstitchClient other = server.client().build()) {
      SaveOptions first = SaveOptions.NONE.expectNone();
      List<CompletableFuture<Saved>> saves =
          Stream.of(client, client, other, other)
              .map(one -> CompletableFuture.supplyAsync(() -> one.save(said("equal"), first)))
              .toList();
      int succeeded = 0;
      for (var save : saves) {
        Throwable error = save.handle((saved, failed) -> failed).get();
        if (error == null) {
          succeeded++;
        } else {
          assertInstanceOf(LockstitchException.class, error.getCause());
          assertEquals(
              io.grpc.Status.Code.ABORTED, ((LockstitchException) error.getCause()).code());
        }
      }
      assertEquals(1, succeeded);
      StateThread one = client.thread("t");
      StateThread two = client.thread("t");
      one.save(Map.of("size", "XL"));
      assertThrows(ExpectedLatestMismatchException.class, () -> two.save(Map.of("size", "XL")));
    }
  }

  @Test
  void aThreadRepeatsASaveOfUnknownOutcome() throws Exception {
    Sent sent = new Sent();
    try (Server server = Server.started();
        LockstitchClient client = server.client().stream(false).intercept(sent).build()) {
      StateThread thread = client.thread("t");
      thread.save(Map.of("text", "before"));
      server.signal("STOP");
      Map<String, ?> state = Map.of("text", "same");
      assertThrows(DeadlineExceededException.class, () -> thread.save(state, Map.of(), HASTY));
      server.signal("CONT");
      thread.save(state);
      assertEquals(2, client.thread("t").history().count());
      thread.save(Map.of("text", "after"));
      assertEquals(3, thread.step());
      List<SaveId> ids = sent.all.stream().map(SaveRequest::getSaveId).distinct().toList();
      assertEquals(3, ids.size());
      assertEquals(1, ids.stream().map(SaveId::getWriter).distinct().count());
      client.save(said("x"));
      assertNotEquals(ids.get(0).getWriter(), sent.with("x").get(0).getSaveId().getWriter());
    }
  }

  @Test
  void aThreadNoticesACheckpointThatWasSavedAgainAfterARewind() throws Exception {
    try (Server server = Server.started();
        LockstitchClient client = server.client().build()) {
      StateThread thread = client.thread("t");
      thread.save(Map.of("size", "S"));
      thread.save(Map.of("size", "M"));
      StateThread other = client.thread("t");
      other.rewind(1);
      other.save(Map.of("size", "L"));
      assertThrows(ExpectedLatestMismatchException.class, () -> thread.save(Map.of("size", "XL")));
      assertEquals(Map.of("size", "L"), other.load().orElseThrow());
    }
  }

  /** The saves that a client has sent. */
  private static final class Sent implements ClientInterceptor {
    final Queue<SaveRequest> all = new ConcurrentLinkedQueue<>();

    List<SaveRequest> with(String text) {
      return all.stream().filter(save -> save.toString().contains('"' + text + '"')).toList();
    }

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void sendMessage(Q message) {
          if (message instanceof SaveRequest save) {
            all.add(save);
          } else if (message instanceof SaveStreamRequest saves) {
            all.add(saves.getSave());
            saves.getBatchList().forEach(one -> all.add(one.getSave()));
          }
          super.sendMessage(message);
        }
      };
    }
  }
}
