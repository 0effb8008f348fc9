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
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.Iterator;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** Single calls over gRPC. What goes wrong is told as LockstitchException. */
final class Transport {
  private static final String UNIX = "unix:";
  private static final long POKE_MS = 250;
  private static final long PROBE_MS = 400;

  /** How long one attempt to connect may take. */
  private static final int ATTEMPT_MS = 3000;

  /** How long nothing has to come before a connection is given up. */
  private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(1);

  final ScheduledThreadPoolExecutor scheduler;
  private final ClientBuilder settings;
  private final ManagedChannel channel;
  private final AtomicInteger underWay = new AtomicInteger();
  private final ScheduledFuture<?> poking;
  private EventLoopGroup group; // of a Unix socket; gRPC has its own for others
  private volatile long lastAnswer = System.nanoTime();
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
    channel = connect();
    poking = scheduler.scheduleWithFixedDelay(this::poke, POKE_MS, POKE_MS, TimeUnit.MILLISECONDS);
  }

  /** One answer. */
  <Q, A> CompletableFuture<A> unary(MethodDescriptor<Q, A> method, Q request, Budget budget) {
    if (closed) {
      return CompletableFuture.failedFuture(closedError());
    }
    long begun = System.nanoTime();
    CompletableFuture<A> single = new CompletableFuture<>();
    CompletableFuture<A> answer = new CompletableFuture<>();
    underWay.incrementAndGet();
    ClientCall<Q, A> call = call(method, budget);
    ClientCalls.asyncUnaryCall(call, request, new Single<>(this, single));
    guardFirst(answer::completeExceptionally, answer);
    single.whenComplete(
        (given, error) -> {
          ended(begun, error);
          if (error instanceof DeadlineExceededException late) {
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
    boolean refused = channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE;
    boolean reachable = closed || (hasConnected() && !refused);
    return reachable ? CompletableFuture.completedFuture(error) : noConnection();
  }

  private boolean hasConnected() {
    connected |= channel.getState(false) == ConnectivityState.READY;
    return connected;
  }

  /** The reason why there is no connection. gRPC gives it only to calls that do not wait. */
  private CompletableFuture<LockstitchException> noConnection() {
    CompletableFuture<LockstitchException> told = new CompletableFuture<>();
    CallOptions options =
        CallOptions.DEFAULT
            .withDeadlineAfter(PROBE_MS, TimeUnit.MILLISECONDS)
            .withoutWaitForReady();
    var probe = channel.newCall(CheckpointServiceGrpc.getLoadLatestMethod(), options);
    StreamObserver<LoadLatestResponse> observer =
        new StreamObserver<>() {
          @Override
          public void onNext(LoadLatestResponse answer) {}

          @Override
          public void onCompleted() {
            told.complete(Errors.noConnection(settings.target, "it came too late"));
          }

          @Override
          public void onError(Throwable error) {
            told.complete(Errors.noConnection(settings.target, Errors.cause(error)));
          }
        };
    ClientCalls.asyncUnaryCall(probe, LoadLatestRequest.getDefaultInstance(), observer);
    return told;
  }

  /** Answers, as they come. To be closed. */
  <Q, A> Answers<A> stream(
      MethodDescriptor<Q, A> method, Q request, Budget budget, boolean withDeadline) {
    if (closed) {
      throw closedError();
    }
    ClientCall<Q, A> call = withDeadline ? call(method, budget) : call(method, null, budget.trace);
    return new Answers<>(this, call, ClientCalls.blockingServerStreamingCall(call, request));
  }

  /** Begin a SaveStream. It has no deadline: each save has its own. */
  StreamObserver<SaveStreamRequest> openSaveStream(StreamObserver<SaveStreamResponse> answers) {
    underWay.incrementAndGet();
    ClientCall<SaveStreamRequest, SaveStreamResponse> call =
        call(CheckpointServiceGrpc.getSaveStreamMethod(), null, Map.of());
    return ClientCalls.asyncBidiStreamingCall(call, answers);
  }

  void saveStreamEnded() {
    underWay.decrementAndGet();
  }

  void answered() {
    connected = true;
    lastAnswer = System.nanoTime();
  }

  /**
   * Connect anew, if nothing has come since then, which is a while ago: the server, or the way to
   * it, may be gone without a word. Whether it does.
   */
  boolean renew(long since) {
    long now = System.nanoTime();
    if (closed || lastAnswer - since > 0 || now - since < PATIENCE_NANOS) {
      return false;
    }
    lastAnswer = now; // one new connection is enough for all that notice
    channel.enterIdle(); // calls that are under way go on
    return true;
  }

  void close() {
    closed = true;
    poking.cancel(false);
    channel.shutdownNow();
    if (group != null) {
      group.shutdownGracefully(0, 1, TimeUnit.SECONDS);
    }
  }

  boolean isClosed() {
    return closed;
  }

  static LockstitchException closedError() {
    return Errors.of(Code.CANCELLED, "the client was closed", null);
  }

  /** How a call has failed that was made in a context, told on the thread that waits for it. */
  private LockstitchException failure(Throwable error, Context context) {
    LockstitchException failure = Errors.from(error);
    boolean here = closed || context.isCancelled() || Thread.currentThread().isInterrupted();
    return here ? failure : Errors.asTheServers(failure);
  }

  private void ended(long begun, Throwable error) {
    underWay.decrementAndGet();
    if (error == null) {
      answered();
    } else if (error instanceof DeadlineExceededException) {
      renew(begun);
    }
  }

  /**
   * gRPC waits up to two minutes between attempts to connect; a server that restarts is back in
   * seconds.
   */
  private void poke() {
    if (underWay.get() > 0 && channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      channel.resetConnectBackoff();
    }
  }

  private <Q, A> ClientCall<Q, A> call(MethodDescriptor<Q, A> method, Budget budget) {
    return call(method, budget, budget.trace);
  }

  /** {@code budget}: null for a call without a deadline. */
  private <Q, A> ClientCall<Q, A> call(
      MethodDescriptor<Q, A> method, Budget budget, Map<String, String> trace) {
    Metadata headers = new Metadata();
    settings.metadata.forEach((key, value) -> headers.put(ascii(key), value));
    trace.forEach((key, value) -> headers.put(ascii(key), value));
    CallOptions options =
        settings.retry == null ? CallOptions.DEFAULT : CallOptions.DEFAULT.withWaitForReady();
    if (budget != null) {
      options = options.withDeadlineAfter(budget.remaining(), TimeUnit.NANOSECONDS);
    }
    Channel with =
        ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    return with.newCall(method, options);
  }

  private static Metadata.Key<String> ascii(String key) {
    return Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER);
  }

  private ManagedChannel connect() {
    NettyChannelBuilder builder = settings.target.startsWith(UNIX) ? overSocket() : overNetwork();
    if (settings.tls != null && settings.tls.serverName() != null) {
      builder.overrideAuthority(settings.tls.serverName());
    }
    return builder
        // What the server has accepted can be read back, whatever its limit.
        .maxInboundMessageSize(Integer.MAX_VALUE)
        // The client repeats calls by itself: it knows what the server asks for, and for how long.
        .disableRetry()
        // Servers end connections that ping more often than every five minutes.
        .keepAliveTime(360, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .build();
  }

  /**
   * A name with many addresses is many replicas: spread the calls, leave out those that cannot be
   * reached.
   */
  private NettyChannelBuilder overNetwork() {
    var credentials =
        settings.tls == null ? InsecureChannelCredentials.create() : settings.tls.credentials();
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget(settings.target, credentials)
            .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, ATTEMPT_MS)
            .defaultLoadBalancingPolicy("round_robin");
    if (Target.isLocal(settings.target)) {
      builder.proxyDetector(address -> null); // none reaches what is on this machine only
    }
    return Target.isName(settings.target) ? fresh(builder) : builder;
  }

  @SuppressWarnings("deprecation") // what replaces it is for all channels of the JVM
  private NettyChannelBuilder fresh(NettyChannelBuilder builder) {
    return builder.nameResolverFactory(new FreshNames(settings.target));
  }

  @SuppressWarnings("deprecation") // what replaces the group is not in older versions of Netty
  private NettyChannelBuilder overSocket() {
    String path = settings.target.substring(UNIX.length()).replaceFirst("^//", "");
    group = new EpollEventLoopGroup(1, Transport::daemon);
    return NettyChannelBuilder.forAddress(
            new DomainSocketAddress(path), InsecureChannelCredentials.create())
        .channelType(EpollDomainSocketChannel.class)
        .eventLoopGroup(group)
        .overrideAuthority("localhost");
  }

  private static Thread daemon(Runnable work) {
    Thread thread = new Thread(work, "lockstitch");
    thread.setDaemon(true);
    return thread;
  }

  /** The one answer of a call. It is told in the call's context. */
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

  /** The answers of one call. */
  static final class Answers<A> implements AutoCloseable {
    private final Transport transport;
    private final ClientCall<?, A> call;
    private final Iterator<A> answers;
    private final long begun = System.nanoTime();
    private final Context context = Context.current();
    private final CompletableFuture<Void> over = new CompletableFuture<>();
    private volatile LockstitchException lost; // there is no connection
    private volatile boolean cancelled; // by this client

    Answers(Transport transport, ClientCall<?, A> call, Iterator<A> answers) {
      this.transport = transport;
      this.call = call;
      this.answers = answers;
      transport.underWay.incrementAndGet();
      transport.guardFirst(this::lose, over);
    }

    private void lose(LockstitchException error) {
      lost = error;
      cancel("no connection");
    }

    /** The next answer; null: there is none. */
    A next() {
      try {
        A answer = answers.hasNext() ? answers.next() : null;
        transport.answered();
        return answer;
      } catch (RuntimeException error) {
        if (lost != null) {
          throw lost.again();
        }
        LockstitchException failure =
            cancelled ? Errors.from(error) : transport.failure(error, context);
        if (failure instanceof DeadlineExceededException) {
          LockstitchException told = transport.late(failure).join();
          transport.renew(begun);
          throw told.again();
        }
        throw failure;
      }
    }

    /** End the call, which then fails. */
    void cancel(String why) {
      cancelled = true;
      call.cancel(why, null);
    }

    @Override
    public void close() {
      over.complete(null);
      transport.underWay.decrementAndGet();
      cancel("nobody reads on");
    }
  }
}
