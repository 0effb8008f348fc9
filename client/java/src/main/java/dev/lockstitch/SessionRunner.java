package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.PendingWrite;
import dev.lockstitch.v1.ReleaseLeaseRequest;
import dev.lockstitch.v1.RenewLeaseRequest;
import dev.lockstitch.v1.SaveWritesRequest;
import dev.lockstitch.v1.SessionServiceGrpc;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The right to run a session, from {@link LockstitchClient#run}. The lease is renewed by itself
 * until {@link #close}, or until it is lost: then {@link #lost} is completed, and this runner must
 * stop. Whatever it saves is fenced: a runner that has lost its lease without knowing it cannot
 * overwrite what another one does.
 */
public final class SessionRunner implements AutoCloseable {
  private static final long LEAST_PAUSE = TimeUnit.MILLISECONDS.toNanos(100);

  private final Caller caller;
  private final Saver saver;
  private final String sessionId;
  private final long token;
  private final Duration ttl;
  private Latest latest = new Latest(Optional.empty(), List.of(), 0, 0, Optional.empty());
  private final CompletableFuture<LockstitchException> lost = new CompletableFuture<>();
  private ScheduledFuture<?> renewal;
  private long until;
  private boolean released;

  /** {@code begun}: when the lease was asked for. */
  SessionRunner(Caller caller, Saver saver, Lease lease, long begun) {
    this.caller = caller;
    this.saver = saver;
    sessionId = lease.sessionId();
    token = lease.token();
    ttl = lease.ttl().orElseThrow();
    until = begun + ttl.toNanos();
    renewLater();
  }

  /** What was loaded when the lease had been taken. */
  void loaded(Latest answer) {
    latest = answer;
  }

  /** The fencing token. */
  public long token() {
    return token;
  }

  /**
   * The latest checkpoint of the root namespace when the lease was taken; empty: the session is
   * new.
   */
  public Optional<Checkpoint> checkpoint() {
    return latest.checkpoint();
  }

  /** All that was loaded with it. */
  public Latest latest() {
    return latest;
  }

  /** Completed with the reason when the lease is lost. */
  public CompletableFuture<LockstitchException> lost() {
    return lost;
  }

  /** Save under the lease. */
  public Saved save(Checkpoint checkpoint) {
    return save(checkpoint, SaveOptions.NONE);
  }

  /**
   * Save under the lease.
   *
   * @throws LeaseLostException as soon as it is known to be lost
   */
  public Saved save(Checkpoint checkpoint, SaveOptions options) {
    return Caller.await(saveAsync(checkpoint, options));
  }

  /** As {@link #save(Checkpoint, SaveOptions)}, without waiting. */
  public CompletableFuture<Saved> saveAsync(Checkpoint checkpoint, SaveOptions options) {
    return fenced(() -> saver.save(checkpoint, options.withLease(token)));
  }

  /** As {@link #save(Checkpoint, SaveOptions)}, of another writer than the client. */
  Saved save(Checkpoint checkpoint, SaveOptions options, SaveIds ids) {
    return Caller.await(fenced(() -> saver.save(checkpoint, options.withLease(token), ids)));
  }

  /**
   * Store pending writes of a checkpoint of the root namespace under the lease, all of them or
   * none.
   *
   * <pre>{@code
   * runner.saveWrites(saved.checkpointId(), List.of(write));
   * }</pre>
   *
   * @param checkpointId the checkpoint that the step started from
   * @throws LeaseLostException as soon as it is known to be lost
   */
  public SavedWrites saveWrites(String checkpointId, List<PendingWrite> writes) {
    SaveWritesRequest request =
        SaveWritesRequest.newBuilder()
            .setSessionId(sessionId)
            .setCheckpointId(checkpointId)
            .addAllWrites(writes)
            .setLeaseToken(token)
            .build();
    var method = CheckpointServiceGrpc.getSaveWritesMethod();
    return Convert.savedWrites(
        Caller.await(fenced(() -> caller.send(method, request, caller.budget(null)))));
  }

  /** The result of a call under the lease, which may tell that the lease is lost. */
  private <A> CompletableFuture<A> fenced(Supplier<CompletableFuture<A>> call) {
    if (lost.isDone()) {
      return CompletableFuture.failedFuture(lost.join());
    }
    CompletableFuture<A> work = call.get();
    CompletableFuture<A> answer = new CompletableFuture<>();
    work.whenComplete(
        (given, error) -> {
          if (error != null && Futures.unwrap(error) instanceof LeaseLostException gone) {
            lose(gone);
          }
          Futures.settle(answer, given, error);
        });
    Futures.endWith(work, answer);
    return answer;
  }

  /** Give the lease back. Whether it was still held. May be repeated. */
  public boolean release() {
    synchronized (this) {
      released = true;
      renewal.cancel(false);
    }
    var request =
        ReleaseLeaseRequest.newBuilder().setSessionId(sessionId).setLeaseToken(token).build();
    return caller.call(SessionServiceGrpc.getReleaseLeaseMethod(), request, null).getReleased();
  }

  synchronized boolean isReleased() {
    return released;
  }

  @Override
  public void close() {
    release();
  }

  /** When a third of the lease's time has passed. */
  private synchronized void renewLater() {
    if (!released) {
      long pause = Math.max(LEAST_PAUSE, until - System.nanoTime() - ttl.toNanos() * 2 / 3);
      renewal = caller.transport.scheduler.schedule(this::renew, pause, TimeUnit.NANOSECONDS);
    }
  }

  private void renew() {
    long begun = System.nanoTime();
    Budget left =
        caller.budget(
            Duration.ofNanos(Math.max(1, until - begun))); // after that it may be another's
    var request =
        RenewLeaseRequest.newBuilder()
            .setSessionId(sessionId)
            .setLeaseToken(token)
            .setTtl(Values.duration(ttl))
            .build();
    caller
        .send(SessionServiceGrpc.getRenewLeaseMethod(), request, left)
        .whenComplete(
            (given, error) -> renewed(begun, error == null ? null : Futures.unwrap(error)));
  }

  private void renewed(long begun, LockstitchException error) {
    if (error == null) {
      until = begun + ttl.toNanos();
    } else if (error instanceof LeaseLostException) {
      lose(error);
      return;
    } else if (until - System.nanoTime() <= 0) {
      lose(Errors.leaseLost("the lease could not be renewed in time", error));
      return;
    }
    renewLater();
  }

  private void lose(LockstitchException error) {
    synchronized (this) {
      renewal.cancel(false);
    }
    lost.complete(error);
  }
}
