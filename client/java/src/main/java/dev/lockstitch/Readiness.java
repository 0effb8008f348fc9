package dev.lockstitch;

import io.grpc.MethodDescriptor;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Waits for a server that is ready to work, by gRPC's health checks. */
final class Readiness {
  private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /** A HealthCheckRequest that names no service. */
  private static final byte[] WHOLE_SERVER = {};

  /** A HealthCheckResponse with the status SERVING: field 1 is 1. */
  private static final byte[] SERVING = {8, 1};

  private static final MethodDescriptor<byte[], byte[]> CHECK =
      MethodDescriptor.<byte[], byte[]>newBuilder()
          .setType(MethodDescriptor.MethodType.UNARY)
          .setFullMethodName("grpc.health.v1.Health/Check")
          .setRequestMarshaller(new Bytes())
          .setResponseMarshaller(new Bytes())
          .build();

  private Readiness() {}

  /** Completes when the server says that it is ready. */
  static CompletableFuture<Void> await(Transport transport, Budget budget) {
    CompletableFuture<Void> ready = new CompletableFuture<>();
    poll(transport, budget, ready);
    return ready;
  }

  private static void poll(Transport transport, Budget budget, CompletableFuture<Void> ready) {
    CompletableFuture<byte[]> call = transport.patientUnary(CHECK, WHOLE_SERVER, budget);
    Futures.endWith(call, ready);
    call.whenComplete(
        (status, error) -> {
          LockstitchException failure = error == null ? null : Futures.unwrap(error);
          if (isServing(status, failure)) {
            ready.complete(null);
          } else if (isTemporary(failure)) {
            Runnable again = () -> poll(transport, budget, ready);
            long pause = Math.min(POLL_NANOS, budget.remaining());
            transport.scheduler.schedule(again, pause, TimeUnit.NANOSECONDS);
          } else {
            ready.completeExceptionally(failure);
          }
        });
  }

  private static boolean isServing(byte[] status, LockstitchException failure) {
    // A server without health checks responds, so it works.
    return failure == null
        ? Arrays.equals(status, SERVING)
        : failure instanceof UnimplementedException;
  }

  private static boolean isTemporary(LockstitchException failure) {
    return failure == null
        || failure instanceof UnavailableException && !(failure instanceof NoConnectionException);
  }

  /** Messages as they are on the wire. */
  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] message) {
      return new ByteArrayInputStream(message);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }
}
