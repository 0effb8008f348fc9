package dev.lockstitch;

import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.function.Function;

/** Futures in a row: results go forward, and giving up goes backward. */
final class Futures {
  private Futures() {}

  /** Completes {@code answer} as {@code work} ends. When the answer has failed, ends the work. */
  static <A> void join(CompletableFuture<A> work, CompletableFuture<A> answer) {
    work.whenComplete((given, error) -> settle(answer, given, error));
    endWith(work, answer);
  }

  /** A future of what a function makes of a result. Cancelling it ends the work. */
  static <A, B> CompletableFuture<B> map(CompletableFuture<A> work, Function<A, B> change) {
    CompletableFuture<B> answer = new CompletableFuture<>();
    work.whenComplete((given, error) -> settle(answer, given, error, change));
    endWith(work, answer);
    return answer;
  }

  /** Ends {@code work} when {@code answer} has failed, because it was cancelled for example. */
  static void endWith(CompletableFuture<?> work, CompletableFuture<?> answer) {
    answer.whenComplete(
        (given, error) -> {
          if (error != null) {
            work.cancel(false);
          }
        });
  }

  /** Completes a future as another one ended, without the exceptions that wrap a failure. */
  static <A> void settle(CompletableFuture<A> answer, A given, Throwable error) {
    if (error == null) {
      answer.complete(given);
    } else {
      answer.completeExceptionally(unwrap(error));
    }
  }

  /** As {@link #settle}, with what a function makes of the result. */
  static <A, B> void settle(
      CompletableFuture<B> answer, A given, Throwable error, Function<A, B> change) {
    try {
      settle(answer, error == null ? change.apply(given) : null, error);
    } catch (RuntimeException failure) { // a result that the function does not understand
      answer.completeExceptionally(Errors.from(failure));
    }
  }

  /** The exception for the failure of a future. */
  static LockstitchException unwrap(Throwable error) {
    boolean wrapped = error instanceof ExecutionException || error instanceof CompletionException;
    Throwable failure = wrapped && error.getCause() != null ? error.getCause() : error;
    return failure instanceof CancellationException
        ? Errors.of(io.grpc.Status.Code.CANCELLED, "the caller cancelled the call", failure)
        : Errors.from(failure);
  }
}
