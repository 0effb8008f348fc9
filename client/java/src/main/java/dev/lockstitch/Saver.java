package dev.lockstitch;

import dev.lockstitch.v1.Checkpoint;
import dev.lockstitch.v1.CheckpointServiceGrpc;
import dev.lockstitch.v1.SaveRequest;
import dev.lockstitch.v1.SaveResponse;
import dev.lockstitch.v1.StateDelta;
import dev.lockstitch.v1.VersionedState;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * Saving: what changed where that is enough, the whole state where it is not, and concurrent saves
 * together.
 */
final class Saver implements SaveLane.Owner {
  private static final int LANES = 4;

  /** How long no stream is tried after it has turned out that there are none. */
  private static final long AVOID_NANOS = TimeUnit.MINUTES.toNanos(5);

  private final Caller caller;
  private final Memory memory; // null: send full states only
  private final boolean stream;
  private final List<SaveLane> lanes;
  private final AtomicInteger underWay = new AtomicInteger();

  /**
   * By session: when the next save may go. Those that have a call of their own must have their
   * answers first.
   */
  private final Map<String, CompletableFuture<?>> turns = new HashMap<>();

  private volatile boolean streamsKnown;
  private volatile long avoidUntil = System.nanoTime();

  Saver(Caller caller, Memory memory, boolean stream) {
    this.caller = caller;
    this.memory = memory;
    this.stream = stream;
    lanes =
        IntStream.range(0, LANES)
            .mapToObj(number -> new SaveLane(caller.transport, caller.retry, this))
            .toList();
  }

  CompletableFuture<SaveResponse> save(Checkpoint checkpoint, SaveOptions options) {
    try {
      Texts.check("checkpoint", checkpoint);
    } catch (InvalidArgumentException error) {
      return CompletableFuture.failedFuture(error);
    }
    Budget budget = caller.budget(options.timeout);
    SaveRequest full = options.conditions.toBuilder().setCheckpoint(checkpoint).build();
    Memory.Key key = new Memory.Key(checkpoint.getSessionId(), checkpoint.getNamespace());
    boolean known = memory != null && checkpoint.hasState() && Delta.isKnown(checkpoint.getState());
    Optional<SaveRequest> smaller = known ? withDelta(full, memory.get(key)) : Optional.empty();
    underWay.incrementAndGet();
    CompletableFuture<SaveResponse> sent = send(smaller.orElse(full), budget);
    CompletableFuture<SaveResponse> answer = smaller.isEmpty() ? sent : orFull(sent, full, budget);
    return answer.whenComplete(
        (given, error) -> {
          underWay.decrementAndGet();
          if (error == null && known && given.getRevision() != 0) {
            memory.put(
                key,
                new Memory.Base(
                    given.getCheckpointId(), given.getRevision(), checkpoint.getState()));
          }
        });
  }

  /** Make a checkpoint that was loaded, in this revision, the base of the next delta. */
  void remember(Checkpoint checkpoint, long revision) {
    VersionedState state = checkpoint.getState();
    if (memory != null && revision != 0 && checkpoint.hasState() && Delta.isKnown(state)) {
      Memory.Key key = new Memory.Key(checkpoint.getSessionId(), checkpoint.getNamespace());
      memory.put(key, new Memory.Base(idOf(checkpoint), revision, state));
    }
  }

  void close() {
    lanes.forEach(SaveLane::close);
  }

  @Override
  public void streamsWork() {
    streamsKnown = true;
  }

  @Override
  public void avoidStreams(boolean unlessKnown) {
    if (!unlessKnown || !streamsKnown) {
      avoidUntil = System.nanoTime() + AVOID_NANOS;
    }
  }

  @Override
  public CompletableFuture<SaveResponse> saveAlone(SaveRequest request, Budget budget) {
    return caller.send(CheckpointServiceGrpc.getSaveMethod(), request, budget);
  }

  private CompletableFuture<SaveResponse> orFull(
      CompletableFuture<SaveResponse> sent, SaveRequest full, Budget budget) {
    return sent.handle(
            (given, error) -> {
              if (error == null) {
                return sent;
              }
              LockstitchException failure = Caller.unwrap(error);
              return failure instanceof DeltaRefusedException
                  ? send(full, budget)
                  : CompletableFuture.<SaveResponse>failedFuture(failure);
            })
        .thenCompose(next -> next);
  }

  /** The request with a delta in place of the state; empty: there is none, or no gain in it. */
  private static Optional<SaveRequest> withDelta(SaveRequest full, Memory.Base base) {
    Checkpoint checkpoint = full.getCheckpoint();
    if (base == null || base.checkpointId().equals(idOf(checkpoint))) {
      return Optional.empty(); // it would replace what it starts from, and could not be repeated
    }
    Optional<StateDelta> delta = Delta.between(base.state(), checkpoint.getState());
    return delta
        .filter(made -> made.getSerializedSize() < checkpoint.getState().getSerializedSize())
        .map(
            made ->
                full.toBuilder()
                    .setCheckpoint(checkpoint.toBuilder().clearState())
                    .setBaseCheckpointId(base.checkpointId())
                    .setBaseRevision(base.revision())
                    .setDelta(made)
                    .build());
  }

  /** The id under which the server will store it. */
  private static String idOf(Checkpoint checkpoint) {
    String id = checkpoint.getCheckpointId();
    String step = Long.toUnsignedString(checkpoint.getStep());
    return id.isEmpty() ? "0".repeat(20 - step.length()) + step : id;
  }

  /** By the way that is best. Saves of one session arrive in the order of the calls. */
  private CompletableFuture<SaveResponse> send(SaveRequest request, Budget budget) {
    String session = request.getCheckpoint().getSessionId();
    boolean shared = stream && underWay.get() > 1 && System.nanoTime() - avoidUntil >= 0;
    CompletableFuture<SaveResponse> answer = new CompletableFuture<>();
    CompletableFuture<?> turn = shared ? new CompletableFuture<>() : answer; // when the next may go
    CompletableFuture<?> before;
    synchronized (turns) {
      before = stream ? turns.get(session) : null;
      if (!shared || before != null) {
        turns.put(session, turn);
      }
    }
    turn.whenComplete((given, error) -> forget(session, turn));
    Runnable go =
        () -> {
          start(request, budget, shared, answer);
          if (shared) {
            turn.complete(null);
          }
        };
    if (before == null) {
      go.run();
    } else {
      Runnable late =
          () -> {
            if (!answer.isDone()) {
              caller
                  .transport
                  .late(Budget.outOfTime(null))
                  .thenAccept(answer::completeExceptionally);
            }
          };
      caller.transport.scheduler.schedule(late, budget.remaining(), TimeUnit.NANOSECONDS);
      before.whenComplete((given, error) -> go.run());
    }
    return answer;
  }

  private void start(
      SaveRequest request, Budget budget, boolean shared, CompletableFuture<SaveResponse> answer) {
    if (answer.isDone()) {
      return; // too late
    }
    CompletableFuture<SaveResponse> sent =
        shared ? lane(request).save(request, budget) : saveAlone(request, budget);
    sent.whenComplete(
        (given, error) -> {
          if (error == null) {
            answer.complete(given);
          } else {
            answer.completeExceptionally(Caller.unwrap(error));
          }
        });
  }

  private void forget(String session, CompletableFuture<?> turn) {
    synchronized (turns) {
      turns.remove(session, turn);
    }
  }

  private SaveLane lane(SaveRequest request) {
    return lanes.get(Math.floorMod(request.getCheckpoint().getSessionId().hashCode(), LANES));
  }
}
