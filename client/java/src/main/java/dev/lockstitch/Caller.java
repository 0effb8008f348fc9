package dev.lockstitch;

import com.google.protobuf.Message;
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** Calls that are repeated while there is time. */
final class Caller {
  final Transport transport;

  /** null: each call is made once, and only if there is a connection. */
  final RetryPolicy retry;

  private final Duration timeout;

  Caller(Transport transport, RetryPolicy retry, Duration timeout) {
    this.transport = transport;
    this.retry = retry;
    this.timeout = timeout;
  }

  /** {@code given}: null for the client's. */
  Budget budget(Duration given) {
    return new Budget(given == null ? timeout : given);
  }

  /** One answer; blocks. */
  <Q extends Message, A> A call(MethodDescriptor<Q, A> method, Q request, Duration given) {
    return await(send(method, request, budget(given)));
  }

  /** One answer. Fails with InvalidArgumentException for text that is not Unicode. */
  <Q extends Message, A> CompletableFuture<A> send(
      MethodDescriptor<Q, A> method, Q request, Budget budget) {
    try {
      Texts.check(request);
    } catch (InvalidArgumentException error) {
      return CompletableFuture.failedFuture(error);
    }
    return sendChecked(method, request, budget);
  }

  /** One answer to a request whose texts have been checked. */
  <Q, A> CompletableFuture<A> sendChecked(MethodDescriptor<Q, A> method, Q request, Budget budget) {
    CompletableFuture<A> answer = new CompletableFuture<>();
    attempt(method, request, budget, answer, 1, null);
    return answer;
  }

  private <Q, A> void attempt(
      MethodDescriptor<Q, A> method,
      Q request,
      Budget budget,
      CompletableFuture<A> answer,
      int times,
      LockstitchException fault) {
    CompletableFuture<A> call = transport.unary(method, request, budget);
    Futures.endWith(call, answer);
    call.whenComplete(
        (given, error) -> {
          if (error == null) {
            answer.complete(given);
            return;
          }
          LockstitchException failure = Futures.unwrap(error);
          long pause = RetryPolicy.pauseNanos(retry, failure, times);
          if (pause < 0 || pause >= budget.remaining() || answer.isDone() || transport.isClosed()) {
            boolean late = failure instanceof DeadlineExceededException && fault != null;
            answer.completeExceptionally(late ? Budget.outOfTime(fault) : failure);
          } else {
            Runnable again =
                () -> {
                  if (!answer.isDone()) {
                    attempt(method, request, budget, answer, times + 1, failure);
                  }
                };
            Runnable within = Context.current().wrap(again); // the caller may cancel it
            transport.scheduler.schedule(within, pause, TimeUnit.NANOSECONDS);
          }
        });
  }

  /** What a future gives; blocks, for no longer than the call it belongs to may take. */
  static <A> A await(CompletableFuture<A> answer) {
    try {
      return answer.get();
    } catch (ExecutionException | CancellationException error) {
      throw Futures.unwrap(error).again();
    } catch (InterruptedException error) {
      answer.cancel(false);
      Thread.currentThread().interrupt();
      throw Errors.of(Code.CANCELLED, "the thread was interrupted", error);
    }
  }

  /** Wait; blocks. */
  static void sleep(long nanos) {
    try {
      TimeUnit.NANOSECONDS.sleep(nanos);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw Errors.of(Code.CANCELLED, "the thread was interrupted", error);
    }
  }
}
