package dev.lockstitch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.lockstitch.v1.Checkpoint;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Saves that a real server stores, and whose answers are lost on the way back. */
@Timeout(300)
class LostAnswerTest extends WithServer {
  private static final SaveOptions FIRST = SaveOptions.NONE.expectNone();
  private final CompletableFuture<Void> end = new CompletableFuture<>();

  private Checkpoint said(String text) {
    Checkpoint.Builder checkpoint = at(5).toBuilder();
    checkpoint.getStateBuilder().getMessagesBuilder().addItems(Values.message("user", text));
    return checkpoint.build();
  }

  /** A client that makes each call once, and does not get the answers of its first saves. */
  private static ClientBuilder losing(Losing answers) {
    return server.client().stream(false).retry(null).intercept(answers);
  }

  @Test
  void theSameSaveAgainIsARetry() {
    end.complete(null);
    try (LockstitchClient own = losing(new Losing(1, end)).build()) {
      assertThrows(UnavailableException.class, () -> own.save(said("a"), FIRST));
      assertThrows(ExpectedLatestMismatchException.class, () -> client.save(said("a"), FIRST));
      assertUnchanged(own, said("a"), FIRST);
      assertThrows(ExpectedLatestMismatchException.class, () -> own.save(said("a"), FIRST));
    }
  }

  @Test
  void aRetryThatIsRefusedSaysNothingAboutTheAttemptBefore() {
    end.complete(null);
    AtomicReference<String> key = new AtomicReference<>("key");
    try (LockstitchClient own = losing(new Losing(1, end)).apiKey(key::get).build()) {
      assertThrows(UnavailableException.class, () -> own.save(said("a"), FIRST));
      key.set(""); // refused before it is sent
      assertThrows(UnauthenticatedException.class, () -> own.save(said("a"), FIRST));
      key.set("key");
      assertUnchanged(own, said("a"), FIRST);
    }
  }

  @Test
  void aRetryThatIsCancelledBeforeItBeginsSaysNothingAboutTheAttemptBefore() throws Exception {
    CompletableFuture<Void> never = new CompletableFuture<>();
    Losing answers = new Losing(2, never);
    try (LockstitchClient own = losing(answers).flow(new FlowLimits(1, 1)).build()) {
      var lost = own.saveAsync(said("a"), FIRST);
      answers.awaitLost();
      lost.cancel(false);
      Checkpoint beside = said("beside").toBuilder().setSessionId(session + "-beside").build();
      var running = own.saveAsync(beside, SaveOptions.NONE);
      var waiting = own.saveAsync(said("a"), FIRST);
      waiting.cancel(false);
      running.cancel(false);
      assertUnchanged(own, said("a"), FIRST);
    }
  }

  @Test
  void aSaveThatALaterOneHasReplacedIsNotRetried() throws Exception {
    Losing answers = new Losing(1, end);
    try (LockstitchClient own = losing(answers).build()) {
      var lost = own.saveAsync(said("a"), SaveOptions.NONE);
      answers.awaitLost();
      assertEquals(SaveOutcome.REPLACED, own.save(said("b")).outcome());
      end.complete(null);
      assertInstanceOf(UnavailableException.class, lost.handle((saved, error) -> error).get());
      assertEquals(SaveOutcome.REPLACED, own.save(said("a")).outcome());
    }
  }

  @Test
  void ofTwoRetriesAtOnceOneSucceeds() throws Exception {
    Losing answers = new Losing(1, end);
    end.complete(null);
    try (LockstitchClient own = losing(answers).build()) {
      assertThrows(UnavailableException.class, () -> own.save(said("a"), FIRST));
      var retries = List.of(own.saveAsync(said("a"), FIRST), own.saveAsync(said("a"), FIRST));
      assertEquals(SaveOutcome.UNCHANGED, retries.get(0).get().outcome());
      Throwable error = retries.get(1).handle((saved, failed) -> failed).get();
      assertInstanceOf(ExpectedLatestMismatchException.class, error);
    }
  }

  @Test
  void theFirstAppendOfAThreadIsStoredOnce() {
    end.complete(null);
    try (LockstitchClient own = losing(new Losing(1, end)).build()) {
      StateThread thread = own.thread(session);
      StateThread equal = own.thread(session);
      assertThrows(UnavailableException.class, () -> thread.append("log", 1));
      assertThrows(
          ExpectedLatestMismatchException.class, () -> equal.save(Map.of("log", List.of(1))));
      assertEquals(SaveOutcome.UNCHANGED, thread.append("log", 1).outcome());
      assertEquals(Optional.of(Map.of("log", List.of(1L))), client.thread(session).load());
      thread.append("log", 2);
      assertEquals(Optional.of(Map.of("log", List.of(1L, 2L))), client.thread(session).load());
    }
  }

  private static void assertUnchanged(
      LockstitchClient client, Checkpoint checkpoint, SaveOptions options) {
    assertEquals(SaveOutcome.UNCHANGED, client.save(checkpoint, options).outcome());
  }

  /** Ends the first saves with UNAVAILABLE when the server has answered and {@code end} is done. */
  private static final class Losing implements ClientInterceptor {
    private final AtomicInteger left;
    private final CompletableFuture<Void> end;
    private final CompletableFuture<Void> lost = new CompletableFuture<>();

    Losing(int saves, CompletableFuture<Void> end) {
      left = new AtomicInteger(saves);
      this.end = end;
    }

    /** Waits until the server has stored a save whose answer is lost. */
    void awaitLost() throws Exception {
      lost.get();
    }

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      ClientCall<Q, A> call = next.newCall(method, options);
      boolean loses = method.getBareMethodName().equals("Save") && left.getAndDecrement() > 0;
      return loses ? new Lost<>(call) : call;
    }

    private final class Lost<Q, A> extends SimpleForwardingClientCall<Q, A> {
      Lost(ClientCall<Q, A> call) {
        super(call);
      }

      @Override
      public void start(Listener<A> listener, Metadata headers) {
        super.start(
            new SimpleForwardingClientCallListener<>(listener) {
              @Override
              public void onMessage(A answer) {}

              @Override
              public void onClose(Status status, Metadata trailers) {
                lost.complete(null);
                end.thenRun(() -> super.onClose(Status.UNAVAILABLE, new Metadata()));
              }
            },
            headers);
      }
    }
  }
}
