package dev.lockstitch;

import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.LoadLatestRequest;
import dev.lockstitch.v1.LoadLatestResponse;
import dev.lockstitch.v1.SaveStreamRequest;
import dev.lockstitch.v1.SaveStreamResponse;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** Single calls over gRPC. Failures are LockstitchExceptions. */
final class Transport {
  private static final long POKE_MS = 250;
  private static final long PROBE_MS = 400;

  final ScheduledThreadPoolExecutor scheduler;
  private final ClientBuilder settings;
  private final Channels channels;
  private final AtomicInteger underWay = new AtomicInteger();
  private final ScheduledFuture<?> poking;
  private volatile Link link;
  private volatile Runnable replaced = () -> {};
  private volatile boolean connected; // once, at least
  private volatile boolean closed;

  Transport(ClientBuilder settings) {
    this.settings = settings;
    scheduler = new ScheduledThreadPoolExecutor(1, Transport::daemon);
    scheduler.setRemoveOnCancelPolicy(true);
    // Never shut down, since somebody may wait for what it has yet to do; its thread ends when
    // there is nothing more.
    scheduler.setKeepAliveTime(5, TimeUnit.SECONDS);
    scheduler.allowCoreThreadTimeOut(true);
    channels = new Channels(settings);
    link = new Link(channels.open());
    poking = scheduler.scheduleWithFixedDelay(this::poke, POKE_MS, POKE_MS, TimeUnit.MILLISECONDS);
  }

  /** One answer. */
  <Q, A> CompletableFuture<A> unary(MethodDescriptor<Q, A> method, Q request, Budget budget) {
    CompletableFuture<A> answer = patientUnary(method, request, budget);
    guardFirst(answer::completeExceptionally, answer);
    return answer;
  }

  /** As {@link #unary}, but waits for the first connection until its own timeout. */
  <Q, A> CompletableFuture<A> patientUnary(
      MethodDescriptor<Q, A> method, Q request, Budget budget) {
    if (closed) {
      return CompletableFuture.failedFuture(closedError());
    }
    Link used = link;
    CompletableFuture<A> single = new CompletableFuture<>();
    CompletableFuture<A> answer = new CompletableFuture<>();
    underWay.incrementAndGet();
    ClientCall<Q, A> call = call(used, method, budget, budget.trace);
    ClientCalls.asyncUnaryCall(call, request, new Single<>(this, single));
    single.whenComplete(
        (given, error) -> {
          underWay.decrementAndGet();
          if (error == null || !Futures.unwrap(error).reason().isEmpty()) { // a server's reason
            answered(used);
          }
          if (error instanceof DeadlineExceededException late) {
            renewIfSilent(budget.suspiciousNanos());
            late(late).thenAccept(answer::completeExceptionally);
          } else {
            Futures.settle(answer, given, error);
          }
        });
    answer.whenComplete(
        (given, error) -> {
          if (error != null) {
            call.cancel("the caller has given up", null);
          }
        });
    return answer;
  }

  /**
   * Fails a call when the time to connect is up and there has never been a connection, so that the
   * first call reports a wrong address. {@code done}: completes when the call is over.
   */
  void guardFirst(Consumer<LockstitchException> fail, CompletableFuture<?> done) {
    if (!hasConnected()) {
      Runnable look =
          () -> {
            if (!hasConnected() && !closed) {
              noConnection().thenAccept(fail);
            }
          };
      long nanos = settings.connectTimeout.toNanos();
      var alarm = scheduler.schedule(look, nanos, TimeUnit.NANOSECONDS);
      done.whenComplete((given, error) -> alarm.cancel(false));
    }
  }

  /**
   * The failure of a call that is out of time: NoConnectionException if attempts to connect fail. A
   * server that hangs is connected, or takes a new connection and sends nothing: that stays
   * DEADLINE_EXCEEDED.
   */
  CompletableFuture<LockstitchException> late(LockstitchException error) {
    boolean refused = link.channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE;
    boolean reachable = closed || (hasConnected() && !refused);
    return reachable ? CompletableFuture.completedFuture(error) : noConnection();
  }

  private boolean hasConnected() {
    connected |= link.channel.getState(false) == ConnectivityState.READY;
    return connected;
  }

  /** The reason why there is no connection. gRPC gives it only to calls that do not wait. */
  private CompletableFuture<LockstitchException> noConnection() {
    return probe(link)
        .thenApply(
            error -> {
              String cause = error == null ? "it came too late" : Errors.cause(error);
              return Errors.noConnection(settings.target, cause);
            });
  }

  /** How a call fails that does not wait for a connection; null if it succeeds. */
  private static CompletableFuture<Throwable> probe(Link link) {
    CompletableFuture<Throwable> result = new CompletableFuture<>();
    CallOptions options =
        CallOptions.DEFAULT
            .withDeadlineAfter(PROBE_MS, TimeUnit.MILLISECONDS)
            .withoutWaitForReady();
    var call = link.channel.newCall(CheckpointServiceGrpc.getLoadLatestMethod(), options);
    StreamObserver<LoadLatestResponse> observer =
        new StreamObserver<>() {
          @Override
          public void onNext(LoadLatestResponse answer) {}

          @Override
          public void onCompleted() {
            result.complete(null);
          }

          @Override
          public void onError(Throwable error) {
            result.complete(error);
          }
        };
    ClientCalls.asyncUnaryCall(call, LoadLatestRequest.getDefaultInstance(), observer);
    return result;
  }

  /** Answers, as they come. To be closed. */
  <Q, A> Answers<A> stream(
      MethodDescriptor<Q, A> method, Q request, Budget budget, boolean withDeadline) {
    if (closed) {
      throw closedError();
    }
    Link used = link;
    ClientCall<Q, A> call = call(used, method, withDeadline ? budget : null, budget.trace);
    var answers = ClientCalls.blockingServerStreamingCall(call, request);
    return new Answers<>(this, used, call, answers, budget.suspiciousNanos());
  }

  /** Begin a SaveStream. It has no deadline: each save has its own. */
  void openSaveStream(Link used, StreamObserver<SaveStreamResponse> answers) {
    underWay.incrementAndGet();
    ClientCall<SaveStreamRequest, SaveStreamResponse> call =
        call(used, CheckpointServiceGrpc.getSaveStreamMethod(), null, Map.of());
    ClientCalls.asyncBidiStreamingCall(call, answers);
  }

  /** A call begins, other than by {@link #unary}: a lost connection is to be looked after. */
  void begun() {
    underWay.incrementAndGet();
  }

  void ended() {
    underWay.decrementAndGet();
  }

  /** The channel for the next call. */
  Link link() {
    return link;
  }

  void answered(Link used) {
    connected = true;
    used.hear();
  }

  /** What to do when the connection has been replaced. */
  void onReplaced(Runnable work) {
    replaced = work;
  }

  /**
   * Replaces a connection over which nothing has come for this long, and does not come now: the
   * server, or the way to it, may be gone without a word. Calls on it fail with UNAVAILABLE, so
   * they are repeated on the next one.
   */
  void renewIfSilent(long nanos) {
    Link suspect = link;
    if (closed || !suspect.isSilent(nanos) || !suspect.probing.compareAndSet(false, true)) {
      return;
    }
    probe(suspect)
        .thenAccept(
            error -> {
              if (error != null
                  && Status.fromThrowable(error).getCode() == Code.DEADLINE_EXCEEDED) {
                replace(suspect);
              }
              suspect.probing.set(false);
            });
  }

  private void replace(Link suspect) {
    synchronized (this) {
      if (closed || link != suspect) {
        return;
      }
      link = new Link(channels.open());
    }
    replaced.run();
    suspect.channel.shutdownNow();
  }

  void close() {
    synchronized (this) {
      closed = true;
    }
    poking.cancel(false);
    link.channel.shutdownNow();
    channels.close();
  }

  boolean isClosed() {
    return closed;
  }

  static LockstitchException closedError() {
    return Errors.of(Code.CANCELLED, "the client was closed", null);
  }

  /** How a call has failed that was made in a context, told on the thread that waits for it. */
  LockstitchException failure(Throwable error, Context context) {
    LockstitchException failure = Errors.from(error);
    boolean here = closed || context.isCancelled() || Thread.currentThread().isInterrupted();
    return here ? failure : Errors.asTheServers(failure);
  }

  /**
   * gRPC waits up to two minutes between attempts to connect; a server that restarts is back in
   * seconds.
   */
  private void poke() {
    Link now = link;
    if (underWay.get() > 0 && now.channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      now.channel.resetConnectBackoff();
    }
  }

  /** {@code budget}: null for a call without a deadline. */
  private <Q, A> ClientCall<Q, A> call(
      Link used, MethodDescriptor<Q, A> method, Budget budget, Map<String, String> trace) {
    Metadata headers = new Metadata();
    settings.metadata.forEach((key, value) -> headers.put(ascii(key), value));
    trace.forEach((key, value) -> headers.put(ascii(key), value));
    CallOptions options =
        settings.retry == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withWaitForReady();
    if (settings.token != null) {
      options = options.withCallCredentials(settings.token);
    }
    if (budget != null) {
      options = options.withDeadlineAfter(budget.remaining(), TimeUnit.NANOSECONDS);
    }
    Channel with =
        ClientInterceptors.intercept(
            used.channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    return with.newCall(method, options);
  }

  private static Metadata.Key<String> ascii(String key) {
    return Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER);
  }

  static Thread daemon(Runnable work) {
    Thread thread = new Thread(work, "lockstitch");
    thread.setDaemon(true);
    return thread;
  }

  /** The one answer of a call. It comes in the call's context. */
  private record Single<A>(Transport transport, CompletableFuture<A> answer)
      implements StreamObserver<A> {
    @Override
    public void onNext(A given) {
      answer.complete(given);
    }

    @Override
    public void onError(Throwable error) {
      answer.completeExceptionally(transport.failure(error, Context.current()));
    }

    @Override
    public void onCompleted() {
      answer.completeExceptionally(Errors.of(Code.INTERNAL, "no answer", null));
    }
  }
}
