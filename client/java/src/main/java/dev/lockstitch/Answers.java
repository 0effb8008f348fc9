package dev.lockstitch;

import io.grpc.ClientCall;
import io.grpc.Context;
import java.util.Iterator;
import java.util.concurrent.CompletableFuture;

/** The answers of one call. */
final class Answers<A> implements AutoCloseable {
  private final Transport transport;
  private final Link link;
  private final ClientCall<?, A> call;
  private final Iterator<A> answers;
  private final long suspiciousNanos;
  private final Context context = Context.current();
  private final CompletableFuture<Void> over = new CompletableFuture<>();
  private volatile LockstitchException lost; // there is no connection
  private volatile boolean cancelled; // by this client

  Answers(
      Transport transport,
      Link link,
      ClientCall<?, A> call,
      Iterator<A> answers,
      long suspiciousNanos) {
    this.transport = transport;
    this.link = link;
    this.suspiciousNanos = suspiciousNanos;
    this.call = call;
    this.answers = answers;
    transport.begun();
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
      transport.answered(link);
      return answer;
    } catch (RuntimeException error) {
      if (lost != null) {
        throw lost.again();
      }
      LockstitchException failure =
          cancelled ? Errors.from(error) : transport.failure(error, context);
      if (failure instanceof DeadlineExceededException) {
        LockstitchException told = transport.late(failure).join();
        transport.renewIfSilent(suspiciousNanos);
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
    transport.ended();
    cancel("nobody reads on");
  }
}
