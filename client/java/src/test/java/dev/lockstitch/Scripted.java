package dev.lockstitch;

import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.SaveStreamRequest;
import dev.lockstitch.v1.SaveStreamResponse;
import dev.lockstitch.v1.SessionServiceGrpc;
import dev.lockstitch.v1.WatchSessionRequest;
import dev.lockstitch.v1.WatchSessionResponse;
import io.grpc.Context;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A server that answers as a real one does only now and then: the calls of one method fail, one
 * after the other, and then succeed. Saves of the session {@link #STUCK} that have a call of their
 * own have no answer.
 */
final class Scripted implements AutoCloseable {
  static final String STUCK = "stuck";

  /** The call has no answer before it is cancelled. */
  static final StatusRuntimeException HANG = Status.UNKNOWN.asRuntimeException();

  private static final SaveResponse SAVED = SaveResponse.newBuilder().setRevision(1).build();

  /** How many calls of the method have come; of a stream of saves each message counts. */
  final AtomicInteger calls = new AtomicInteger();

  /** How many saves have come over streams. */
  final AtomicInteger streamed = new AtomicInteger();

  /** The authorization of each call. */
  final Queue<String> keys = new ConcurrentLinkedQueue<>();

  private final MethodDescriptor<?, ?> method;
  private final Queue<StatusRuntimeException> failures;
  private final Semaphore called = new Semaphore(0);
  private final Semaphore cancelled = new Semaphore(0);
  private final Server server;

  Scripted(MethodDescriptor<?, ?> method, StatusRuntimeException... failures) throws IOException {
    this.method = method;
    this.failures = new ConcurrentLinkedQueue<>(List.of(failures));
    var address = new InetSocketAddress("127.0.0.1", 0);
    server =
        NettyServerBuilder.forAddress(address, InsecureServerCredentials.create())
            .intercept(new Keys())
            .addService(new Checkpoints())
            .addService(new Sessions())
            .build()
            .start();
  }

  String target() {
    return "127.0.0.1:" + server.getPort();
  }

  /** Wait for a call of the method. */
  void awaitCall() throws InterruptedException {
    called.acquire();
  }

  /** Wait until a call that hangs is cancelled. */
  void awaitCancelled() throws InterruptedException {
    cancelled.acquire();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private void answer(MethodDescriptor<?, ?> asked, StreamObserver<?> caller, Runnable success) {
    StatusRuntimeException failure = null;
    if (asked == method) {
      failure = failures.poll();
      calls.incrementAndGet();
      called.release();
    }
    if (failure == null) {
      success.run();
    } else if (failure != HANG) {
      caller.onError(failure);
    } else {
      Context.current().addListener(context -> cancelled.release(), Runnable::run);
    }
  }

  private static <A> void give(StreamObserver<A> caller, A answer) {
    caller.onNext(answer);
    caller.onCompleted();
  }

  private final class Keys implements ServerInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
      if (headers.containsKey(AUTHORIZATION)) {
        keys.add(headers.get(AUTHORIZATION));
      }
      return next.startCall(call, headers);
    }
  }

  private final class Checkpoints extends CheckpointServiceGrpc.CheckpointServiceImplBase {
    @Override
    public void save(SaveRequest request, StreamObserver<SaveResponse> caller) {
      if (!request.getCheckpoint().getSessionId().equals(STUCK)) {
        answer(CheckpointServiceGrpc.getSaveMethod(), caller, () -> give(caller, SAVED));
      }
    }

    @Override
    public StreamObserver<SaveStreamRequest> saveStream(StreamObserver<SaveStreamResponse> caller) {
      return new StreamObserver<>() {
        @Override
        public void onNext(SaveStreamRequest request) {
          streamed.incrementAndGet();
          var answer = SaveStreamResponse.newBuilder().setRequestId(request.getRequestId());
          Runnable success = () -> caller.onNext(answer.setSaved(SAVED).build());
          answer(CheckpointServiceGrpc.getSaveStreamMethod(), caller, success);
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          caller.onCompleted();
        }
      };
    }
  }

  private final class Sessions extends SessionServiceGrpc.SessionServiceImplBase {
    @Override
    public void watchSession(
        WatchSessionRequest request, StreamObserver<WatchSessionResponse> caller) {
      var event = WatchSessionResponse.newBuilder().setResumeToken("1").build();
      Runnable success = () -> caller.onNext(event);
      answer(SessionServiceGrpc.getWatchSessionMethod(), caller, success);
    }
  }
}
