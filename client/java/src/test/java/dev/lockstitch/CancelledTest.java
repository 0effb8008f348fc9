package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.ErrorInfo;
import dev.lockstitch.v1.SessionServiceGrpc;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Calls that the server cancels, as one that stops does with what it has not begun; and those that
 * the caller cancels.
 */
@Timeout(60)
class CancelledTest {
  private static final StatusRuntimeException RESET = Status.CANCELLED.asRuntimeException();
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  /** How to make a call that blocks. */
  enum Way {
    SAVE(CheckpointServiceGrpc.getSaveMethod(), client -> client.save(checkpoint("s"))),
    SAVE_STREAM(
        CheckpointServiceGrpc.getSaveStreamMethod(),
        client -> {
          // Those that are under way together share a stream.
          client.saveAsync(checkpoint(Scripted.STUCK), SaveOptions.NONE);
          client.save(checkpoint("s"));
        }),
    WATCH(
        SessionServiceGrpc.getWatchSessionMethod(),
        client -> {
          try (var events = client.watchSession("s")) {
            events.iterator().next();
          }
        });

    final MethodDescriptor<?, ?> method;
    private final Consumer<LockstitchClient> call;

    Way(MethodDescriptor<?, ?> method, Consumer<LockstitchClient> call) {
      this.method = method;
      this.call = call;
    }
  }

  private static Checkpoint checkpoint(String session) {
    return Checkpoint.newBuilder().setSessionId(session).build();
  }

  private static LockstitchClient hasty(Scripted server) {
    RetryPolicy fast = new RetryPolicy(Duration.ofMillis(1), Duration.ofMillis(1), 1);
    return LockstitchClient.builder(server.target()).retry(fast).build();
  }

  @ParameterizedTest
  @EnumSource
  void whatTheServerHasCancelledIsRepeated(Way way) throws Exception {
    try (Scripted server = new Scripted(way.method, RESET, RESET);
        LockstitchClient client = hasty(server)) {
      way.call.accept(client);
      assertEquals(3, server.calls.get());
    }
  }

  @ParameterizedTest
  @EnumSource
  void whatTheThreadIsInterruptedInIsNot(Way way) throws Exception {
    try (Scripted server = new Scripted(way.method, Scripted.HANG);
        LockstitchClient client = hasty(server)) {
      CompletableFuture<LockstitchException> failure = new CompletableFuture<>();
      Thread caller = new Thread(() -> failure.complete(failureOf(way, client)));
      caller.start();
      server.awaitCall();
      caller.interrupt();
      assertInstanceOf(CancelledException.class, failure.get());
      assertEquals(1, server.calls.get());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"SAVE", "WATCH"}) // streams of saves belong to no caller
  void whatTheContextCancelsIsNot(Way way) throws Exception {
    try (Scripted server = new Scripted(way.method, Scripted.HANG);
        LockstitchClient client = hasty(server);
        Context.CancellableContext context = Context.current().withCancellation()) {
      CompletableFuture<LockstitchException> failure = new CompletableFuture<>();
      new Thread(
              context.wrap(
                  () -> {
                    failure.complete(failureOf(way, client));
                  }))
          .start();
      server.awaitCall();
      context.cancel(null);
      assertInstanceOf(CancelledException.class, failure.get());
      assertEquals(1, server.calls.get());
    }
  }

  @ParameterizedTest
  @EnumSource
  void whatClosingTheClientEndsIsNot(Way way) throws Exception {
    try (Scripted server = new Scripted(way.method, Scripted.HANG);
        LockstitchClient client = hasty(server)) {
      var ended = CompletableFuture.supplyAsync(() -> failureOf(way, client));
      server.awaitCall();
      client.close();
      ended.get();
      assertEquals(1, server.calls.get());
    }
  }

  @Test
  void whatTheServerHasCancelledIsUnavailableWhereNothingIsRepeated() throws Exception {
    try (Scripted server = new Scripted(Way.SAVE.method, RESET);
        var client = LockstitchClient.builder(server.target()).retry(null).build()) {
      assertInstanceOf(UnavailableException.class, failureOf(Way.SAVE, client));
      assertEquals(1, server.calls.get());
    }
  }

  @Test
  void whatIsCancelledForAReasonIsNotRepeated() throws Exception {
    var info = ErrorInfo.newBuilder().setDomain("lockstitch.dev").setReason("NEWER").build();
    var told = dev.lockstitch.v1.Status.newBuilder().setCode(1).addDetails(Any.pack(info, "x"));
    told.getDetailsBuilder(0).setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo");
    Metadata trailers = new Metadata();
    trailers.put(DETAILS, told.build().toByteArray());
    StatusRuntimeException failure = Status.CANCELLED.asRuntimeException(trailers);
    try (Scripted server = new Scripted(Way.SAVE.method, failure);
        LockstitchClient client = hasty(server)) {
      assertEquals("NEWER", assertCancelled(Way.SAVE, client).reason());
      assertEquals(1, server.calls.get());
    }
  }

  @Test
  void aRetryDelayBeyondAllBoundsEndsTheCall() throws Exception {
    var delay = com.google.protobuf.Duration.newBuilder();
    for (long seconds : new long[] {Long.MAX_VALUE, Long.MAX_VALUE / 1_000_000, Long.MIN_VALUE}) {
      // A google.rpc.RetryInfo has one field, of number 1.
      var retry = Any.newBuilder().setTypeUrl("type.googleapis.com/google.rpc.RetryInfo");
      ByteString told = delay.setSeconds(seconds).setNanos(1).build().toByteString();
      retry.setValue(ByteString.copyFrom(new byte[] {10, (byte) told.size()}).concat(told));
      var details = dev.lockstitch.v1.Status.newBuilder().setCode(14).addDetails(retry);
      Metadata trailers = new Metadata();
      trailers.put(DETAILS, details.build().toByteArray());
      StatusRuntimeException failure = Status.UNAVAILABLE.asRuntimeException(trailers);
      try (Scripted server = new Scripted(Way.SAVE.method, failure);
          var client = LockstitchClient.builder(server.target()).build()) {
        if (seconds > 0) {
          assertInstanceOf(UnavailableException.class, failureOf(Way.SAVE, client));
        } else {
          Way.SAVE.call.accept(client);
        }
      }
    }
  }

  @Test
  void cancellingASaveEndsItsCall() throws Exception {
    try (Scripted server = new Scripted(Way.SAVE.method, Scripted.HANG);
        LockstitchClient client = hasty(server)) {
      var save = client.saveAsync(checkpoint("s"), SaveOptions.NONE);
      server.awaitCall();
      assertTrue(save.cancel(false));
      server.awaitCancelled();
    }
  }

  @Test
  void aSaveThatIsCancelledBeforeItsTurnIsNotSent() throws Exception {
    try (Scripted server = new Scripted(Way.SAVE.method, Scripted.HANG);
        LockstitchClient client = hasty(server)) {
      var first = client.saveAsync(checkpoint("s"), SaveOptions.NONE);
      server.awaitCall();
      var second = client.saveAsync(checkpoint("s"), SaveOptions.NONE);
      var third = client.saveAsync(checkpoint("s"), SaveOptions.NONE);
      second.cancel(false);
      assertFalse(third.isDone()); // the first one has no answer yet
      first.cancel(false);
      third.get();
      assertEquals(1, server.streamed.get());
      assertEquals(1, server.calls.get());
    }
  }

  @Test
  void anInterruptedSaveEndsItsCall() throws Exception {
    try (Scripted server = new Scripted(Way.SAVE.method, Scripted.HANG);
        LockstitchClient client = hasty(server)) {
      Thread caller = new Thread(() -> failureOf(Way.SAVE, client));
      caller.start();
      server.awaitCall();
      caller.interrupt();
      server.awaitCancelled();
    }
  }

  @Test
  void closingAWatchEndsItsLoop() throws Exception {
    try (Scripted server = new Scripted(Way.WATCH.method);
        LockstitchClient client = hasty(server)) {
      var events = client.watchSession("s");
      CompletableFuture<Void> first = new CompletableFuture<>();
      CompletableFuture<Long> count =
          CompletableFuture.supplyAsync(
              () -> events.stream().peek(event -> first.complete(null)).count());
      first.get();
      events.close();
      assertEquals(1, count.get());
    }
  }

  @Test
  void savesThatFailTogetherHaveExceptionsOfTheirOwn() throws Exception {
    var refused = Status.UNAUTHENTICATED.asRuntimeException();
    // One for each save: they may go out in several messages.
    try (Scripted server =
            new Scripted(Way.SAVE_STREAM.method, refused, refused, refused, refused);
        LockstitchClient client = hasty(server)) {
      client.saveAsync(checkpoint(Scripted.STUCK), SaveOptions.NONE);
      List<CompletableFuture<LockstitchException>> failures =
          IntStream.range(0, 4)
              .mapToObj(number -> checkpoint("s")) // of one session: they share a stream
              .map(one -> client.saveAsync(one, SaveOptions.NONE).handle((saved, error) -> error))
              .map(failure -> failure.thenApply(UnauthenticatedException.class::cast))
              .map(failure -> failure.thenApply(LockstitchException.class::cast))
              .toList();
      Set<LockstitchException> distinct = Collections.newSetFromMap(new IdentityHashMap<>());
      for (var failure : failures) {
        distinct.add(failure.get());
      }
      assertEquals(4, distinct.size());
    }
  }

  @Test
  void theStackOfAnExceptionIsThatOfTheCaller() throws Exception {
    try (Scripted server = new Scripted(Way.SAVE.method, Status.INTERNAL.asRuntimeException());
        LockstitchClient client = hasty(server)) {
      var error = assertThrows(InternalException.class, () -> client.save(checkpoint("s")));
      assertTrue(hasFrame(error, CancelledTest.class), () -> List.of(error.getStackTrace()) + "");
      assertInstanceOf(StatusRuntimeException.class, error.getCause());
    }
    try (Scripted server = new Scripted(Way.SAVE.method, Status.INTERNAL.asRuntimeException());
        LockstitchClient client = hasty(server)) {
      var save = client.saveAsync(checkpoint("s"), SaveOptions.NONE);
      var error = assertThrows(CompletionException.class, save::join);
      assertTrue(hasFrame(error, CancelledTest.class), () -> List.of(error.getStackTrace()) + "");
    }
  }

  private static boolean hasFrame(Throwable error, Class<?> of) {
    return Stream.of(error.getStackTrace())
        .anyMatch(frame -> frame.getClassName().equals(of.getName()));
  }

  private static CancelledException assertCancelled(Way way, LockstitchClient client) {
    return assertInstanceOf(CancelledException.class, failureOf(way, client));
  }

  private static LockstitchException failureOf(Way way, LockstitchClient client) {
    return assertThrows(LockstitchException.class, () -> way.call.accept(client));
  }
}
